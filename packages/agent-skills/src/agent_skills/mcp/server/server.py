"""`McpServer`: the methods of a server, whatever carries the messages. Speaks the stateless revision and those with a
handshake. Knows tools by a Protocol; prompts and resources are methods that whoever needs them adds.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_object
from agent_skills.mcp import wire
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.exchange import Ask, Exchange, InputNeeded, Send
from agent_skills.mcp.server.seals import Seal
from agent_skills.mcp.wire import Code, Message

logger = logging.getLogger(__name__)

Method: TypeAlias = Callable[[Exchange], Awaitable[JsonObject]]
Kind: TypeAlias = Literal["tools", "prompts", "resources"]

_HANDSHAKE_ONLY = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
)
_CACHEABLE = frozenset(
    {
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    }
)
_WANTED: Mapping[Kind, str] = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}


class Tools(Protocol):
    """What offers tools."""

    async def list(self) -> Sequence[JsonObject]:
        """The tools as the protocol describes them, in an order that stays."""
        ...

    async def call(self, name: str, arguments: JsonObject, exchange: Exchange) -> JsonObject:
        """Call one; returns the result with its `content`.

        Raises:
            McpRefusedError: there is no such tool, or the client lacks what it needs.
        """
        ...


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the server is."""

    name: str
    version: str
    instructions: str = ""
    """What a model should know of the tools together."""
    cache_ttl_ms: int = 0
    """How long a client may keep a list, in milliseconds."""


class Session:
    """What a handshake settled, and the questions to this client that are open."""

    def __init__(self, revision: str, capabilities: JsonObject) -> None:
        self.id = secrets.token_urlsafe(24)
        self.revision = revision
        self.capabilities = capabilities
        self.log_level = "debug"
        self.running: dict[wire.RequestId, anyio.CancelScope] = {}
        self._asked: dict[wire.RequestId, MemoryObjectSendStream[Message]] = {}
        self._last = 0

    def asking(self, send: Send) -> Ask:
        """A way to ask the client on the stream that `send` writes to."""

        async def ask(method: str, params: JsonObject) -> JsonObject:
            self._last += 1
            number = f"ask-{self._last}"
            answers, answer = anyio.create_memory_object_stream[Message](1)
            self._asked[number] = answers
            try:
                with answers, answer:
                    await send(wire.request(number, method, params))
                    reply = await answer.receive()
            finally:
                del self._asked[number]
            if isinstance(reply.error, wire.Fault):
                raise McpRefusedError(reply.error.code, reply.error.message)
            return as_object(reply.result)

        return ask

    def answer(self, message: Message) -> None:
        """A response of the client; one that nobody waits for is dropped."""
        waiting = self._asked.get(message.id) if isinstance(message.id, int | str) else None
        if waiting is not None:
            waiting.send_nowait(message)

    def cancel(self, message: Message) -> None:
        """End the request that a `notifications/cancelled` names."""
        scope = self.running.get(message.given.get("requestId", ""))
        if scope is not None:
            scope.cancel()


class McpServer:
    """A server. Belongs to one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        tools: Tools,
        *,
        methods: Mapping[str, Method] | None = None,
        capabilities: JsonObject | None = None,
        key: bytes = b"",
    ) -> None:
        """`methods` and `capabilities` add to those of tools. `key` seals state: 32 bytes, the same on every node."""
        self.settings = settings
        self.tools = tools
        self._methods: dict[str, Method] = {
            "ping": self._ping,
            "server/discover": self._discover,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "subscriptions/listen": self._listen,
            **(methods or {}),
        }
        self._capabilities: JsonObject = {"tools": {"listChanged": True}, **(capabilities or {})}
        self._seal = Seal(key or secrets.token_bytes(32))
        self._listeners: set[MemoryObjectSendStream[Kind]] = set()

    def changed(self, kind: Kind = "tools") -> None:
        """Tell every client that listens that a list is another now."""
        for listener in tuple(self._listeners):
            try:
                listener.send_nowait(kind)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                logger.debug("a listener of %s is behind or gone", kind)

    def begin(self, message: Message) -> tuple[Session, Message]:
        """Answer `initialize`: the session that it opens, and the response."""
        wanted = message.given.get("protocolVersion")
        revision = str(wanted) if wanted in wire.HANDSHAKE else wire.HANDSHAKE[0]
        session = Session(revision, as_object(message.given.get("capabilities")))
        result: dict[str, Any] = {
            "protocolVersion": revision,
            "capabilities": self._without_changes(),
            "serverInfo": self._info(),
        }
        if self.settings.instructions:
            result["instructions"] = self.settings.instructions
        return session, wire.response(_id(message), result)

    async def handle(self, message: Message, send: Send, session: Session | None = None) -> Message:
        """Carry out one request; returns the response. Without a session it is a stateless one.

        The caller has checked that a stateless request agrees with its headers (`check`).
        """
        method = self._methods.get(message.name)
        if method is None or (session is None and message.name in _HANDSHAKE_ONLY):
            return wire.failure(_id(message), Code.METHOD_NOT_FOUND, f"there is no method {message.name!r}")
        try:
            result = await method(self._exchange(message, send, session))
        except InputNeeded as needed:
            return wire.response(_id(message), self._input_required(message, needed))
        except McpRefusedError as error:
            return wire.failure_of(_id(message), error)
        except Exception:
            # The text of what broke is for the log alone.
            logger.exception("MCP method %s failed", message.name)
            return wire.failure(_id(message), Code.INTERNAL, "internal error")
        return wire.response(_id(message), result if session else self._complete(message.name, result))

    @staticmethod
    def check(message: Message) -> None:
        """Hold that a stateless request says what every such request must.

        Raises:
            McpRefusedError: it does not.
        """
        missing = [key for key in (wire.VERSION_KEY, wire.CAPABILITIES_KEY) if key not in message.meta]
        if missing:
            raise McpRefusedError(Code.INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}")
        if not isinstance(message.meta[wire.VERSION_KEY], str):
            raise McpRefusedError(Code.INVALID_PARAMS, f"{wire.VERSION_KEY} is no text")

    def _exchange(self, message: Message, send: Send, session: Session | None) -> Exchange:
        if session is not None:
            return Exchange(
                message,
                capabilities=session.capabilities,
                send=send,
                ask=session.asking(send),
                log_level=session.log_level,
            )
        sealed = message.given.get("requestState")
        state = self._seal.open(sealed, message.name, message.given) if isinstance(sealed, str) else None
        capabilities = as_object(message.meta.get(wire.CAPABILITIES_KEY))
        return Exchange(message, capabilities=capabilities, send=send, state=state)

    def _input_required(self, message: Message, needed: InputNeeded) -> JsonObject:
        questions = {
            key: {"method": one.method, "params": dict(one.params)} for key, one in needed.questions.items()
        }
        result: dict[str, Any] = {"resultType": "input_required", "inputRequests": questions}
        if needed.state:
            result["requestState"] = self._seal.close(needed.state, message.name, message.given)
        return self._signed(result)

    def _complete(self, method: str, result: JsonObject) -> JsonObject:
        if method in _CACHEABLE:
            hints = {"ttlMs": self.settings.cache_ttl_ms, "cacheScope": "private"}
            result = {**hints, **result}
        return self._signed({"resultType": "complete", **result})

    def _signed(self, result: JsonObject) -> JsonObject:
        return {**result, "_meta": {**as_object(result.get("_meta")), wire.SERVER_KEY: self._info()}}

    def _info(self) -> JsonObject:
        return {"name": self.settings.name, "version": self.settings.version}

    def _without_changes(self) -> JsonObject:
        """The capabilities after a handshake: there, nothing carries news of changed lists."""
        return {
            name: {key: value for key, value in as_object(what).items() if key != "listChanged"}
            for name, what in self._capabilities.items()
        }

    # ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _ping(self, _: Exchange) -> JsonObject:
        return {}

    async def _discover(self, _: Exchange) -> JsonObject:
        result: dict[str, Any] = {
            "supportedVersions": list(wire.STATELESS),
            "capabilities": dict(self._capabilities),
        }
        if self.settings.instructions:
            result["instructions"] = self.settings.instructions
        return result

    async def _list_tools(self, _: Exchange) -> JsonObject:
        return {"tools": list(await self.tools.list())}

    async def _call_tool(self, exchange: Exchange) -> JsonObject:
        given = exchange.request.given
        name, arguments = given.get("name"), given.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise McpRefusedError(Code.INVALID_PARAMS, "tools/call wants a name and an object of arguments")
        return await self.tools.call(name, as_object(given.get("arguments")), exchange)

    async def _listen(self, exchange: Exchange) -> JsonObject:
        """Tell of changed lists until the client leaves: its leaving cancels this."""
        wanted = as_object(exchange.request.given.get("notifications"))
        kinds: list[Kind] = [kind for kind, key in _WANTED.items() if wanted.get(key) is True]
        tag = {"_meta": {wire.SUBSCRIPTION_KEY: str(exchange.request_id)}}
        changes, listener = anyio.create_memory_object_stream[Kind](32)
        self._listeners.add(changes)
        try:
            with changes, listener:
                granted = {_WANTED[kind]: True for kind in kinds}
                await exchange.notify(
                    "notifications/subscriptions/acknowledged", {**tag, "notifications": granted}
                )
                async for kind in listener:
                    if kind in kinds:
                        await exchange.notify(f"notifications/{kind}/list_changed", tag)
        finally:
            self._listeners.discard(changes)
        return {}


def _id(message: Message) -> wire.RequestId | None:
    return message.id if isinstance(message.id, int | str) else None
