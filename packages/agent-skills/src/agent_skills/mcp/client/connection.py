"""`McpConnection`: one server, one owner task. Whoever wants something of the server leaves it in a queue and waits.

All scopes and task groups of a connection are entered and left by the owner (`run`): a cancelled call never leaves a
scope in another task, and the end of the server is an error for those who wait, not for the host.
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.errors import SkillError
from agent_skills.mcp import headers as http_headers
from agent_skills.mcp import wire
from agent_skills.mcp.client import questions
from agent_skills.mcp.client.channel import Channel, SessionLostError
from agent_skills.mcp.client.errand import Errand, OnProgress
from agent_skills.mcp.client.questions import AskPerson
from agent_skills.mcp.errors import McpError, McpProtocolError, McpRefusedError, McpUnavailableError
from agent_skills.mcp.wire import Code, Message

logger = logging.getLogger(__name__)

MAX_ROUNDS: Final = 10
"""How often one call may come back with questions."""
MAX_PAGES: Final = 50
QUEUE: Final = 1_000
_FIRST_PAUSE_S: Final = 0.05


class McpConnection:
    """A connection to one server. `run` owns it; the other methods may be called from any task."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        *,
        ask_person: AskPerson | None = None,
        revision: str = "",
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """`revision`: the only one to speak; empty: the newest that both know. `on_change`: the list of tools may
        be another now; called in the owner's task.
        """
        self.name = name
        self._channel = channel
        self._ask = ask_person
        self._wanted = revision
        self._on_change = on_change
        self._outbox, self._errands = anyio.create_memory_object_stream[Errand | Message](QUEUE)
        self._waiting: dict[wire.RequestId, Errand] = {}
        self._progress: dict[wire.RequestId, Errand] = {}
        self._last = 0
        self._lost = ""
        self._tasks: TaskGroup | None = None
        self.revision = ""
        """The revision that is spoken; empty until it is agreed on."""
        self.server: JsonObject = {}
        """What the server says it is: its name and version."""
        self.capabilities: JsonObject = {}
        self.instructions = ""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own the connection until cancelled, or until the server is gone. `started` once the server has agreed.

        Raises:
            McpError: there is no server, it does not speak MCP, or it went away.
        """
        problem = "the connection was closed"
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self._channel.open(tasks, self._receive, self._end)
                tasks.start_soon(self._deliver_all, tasks)
                await self._negotiate()
                task_status.started()
                await self._watch()
        except ExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            problem = str(error)
            raise error from group
        finally:
            self._fail_all(self._lost or problem)
            self._outbox.close()
            self._errands.close()
            await self._channel.aclose()
        if self._lost:
            raise McpUnavailableError(self.name, self._lost)

    # ── for any task ─────────────────────────────────────────────────────────────────────────────────────────────

    async def request(
        self,
        method: str,
        params: JsonObject | None = None,
        *,
        headers: dict[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> JsonObject:
        """Ask the server; returns the result. A caller that is cancelled cancels the request.

        Raises:
            McpRefusedError: the server answered with an error.
            McpUnavailableError: there is no server, or it went away.
        """
        message = self._message(method, params, wants_progress=on_progress is not None)
        repeated = http_headers.standard(message) if wire.VERSION_KEY in message.meta else {}
        errand = Errand(message, {**repeated, **(headers or {})}, on_progress)
        self._put(errand)
        try:
            reply = await errand.outcome()
        except anyio.get_cancelled_exc_class():
            self._give_up(errand)
            raise
        finally:
            self._waiting.pop(message.id or "", None)
            self._progress.pop(message.id or "", None)
        if isinstance(reply.error, wire.Fault):
            data = as_object(reply.error.data) or None
            raise McpRefusedError(reply.error.code, reply.error.message, data)
        return as_object(reply.result)

    async def call(
        self,
        method: str,
        params: JsonObject,
        *,
        headers: dict[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> JsonObject:
        """Ask the server, and answer what it asks meanwhile, until there is a result.

        Raises:
            McpRefusedError: the server answered with an error, or asks what is not answered here.
            McpProtocolError: it keeps asking.
            McpUnavailableError: there is no server, or it went away.
        """
        sent: JsonObject = params
        for round_number in range(MAX_ROUNDS):
            result = await self.request(method, sent, headers=headers, on_progress=on_progress)
            if result.get("resultType", "complete") != "input_required":
                return result
            sent = {**params, **await self._answers(result)}
            if "inputResponses" not in sent:
                await anyio.sleep(_FIRST_PAUSE_S * (1 + round_number))
        raise McpProtocolError(self.name, f"it asked back {MAX_ROUNDS} times in one call")

    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """All pages of a list.

        Raises:
            McpError: as `request`; or the list does not end.
        """
        items: list[JsonObject] = []
        cursor: object = None
        for _ in range(MAX_PAGES):
            result = await self.request(method, {"cursor": cursor} if cursor else {})
            items += [as_object(one) for one in as_list(result.get(key))]
            cursor = result.get("nextCursor")
            if not cursor:
                return items
        raise McpProtocolError(self.name, f"the list {method} has over {MAX_PAGES} pages")

    def _put(self, item: Errand | Message) -> None:
        if self._lost:
            raise McpUnavailableError(self.name, self._lost)
        try:
            self._outbox.send_nowait(item)
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise McpUnavailableError(self.name, "it takes no more requests") from None

    def _give_up(self, errand: Errand) -> None:
        errand.scope.cancel()
        if self.revision in wire.HANDSHAKE or not errand.headers:
            params = {"requestId": errand.message.id, "reason": "nobody waits any more"}
            try:
                self._put(wire.notification("notifications/cancelled", params))
            except McpUnavailableError:
                logger.debug("%s is gone: nothing to cancel", self.name)

    def _message(self, method: str, params: JsonObject | None, *, wants_progress: bool) -> Message:
        self._last += 1
        meta: dict[str, Any] = dict(as_object((params or {}).get("_meta")))
        if wants_progress:
            meta["progressToken"] = self._last
        if self.revision in wire.STATELESS and method != "initialize":
            meta |= {
                wire.VERSION_KEY: self.revision,
                wire.CLIENT_KEY: _info(),
                wire.CAPABILITIES_KEY: dict(questions.capabilities(self._ask)),
            }
        given = {**(params or {}), "_meta": meta} if meta else params
        return wire.request(self._last, method, given)

    async def _answers(self, result: JsonObject) -> JsonObject:
        """What goes into the next round: answers, and the server's own state, untouched."""
        asked = as_object(result.get("inputRequests"))
        answers = {
            key: dict(
                await questions.answer(
                    str(as_object(one).get("method")),
                    as_object(as_object(one).get("params")),
                    self._ask,
                )
            )
            for key, one in asked.items()
        }
        again: dict[str, object] = {"inputResponses": answers} if answers else {}
        if "requestState" in result:
            again["requestState"] = result["requestState"]
        return again

    # ── in the owner's task and its group ────────────────────────────────────────────────────────────────────────

    async def _negotiate(self) -> None:
        """Agree on a revision: the newest stateless one, else by a handshake."""
        if self._wanted in wire.HANDSHAKE:
            await self._shake_hands()
            return
        self.revision = wire.STATELESS[0]
        self._channel.settled("")
        for _ in range(2):
            result: JsonObject = {}
            try:
                with anyio.move_on_after(self._channel.discovery_s):
                    result = await self.request("server/discover")
            except McpRefusedError as error:
                spoken = as_list((error.data or {}).get("supported"))
                if error.code == Code.UNSUPPORTED_VERSION and self._takes(spoken):
                    continue
                if self._wanted or (spoken and not any(one in wire.HANDSHAKE for one in spoken)):
                    raise
                await self._shake_hands()
                return
            if self._takes(as_list(result.get("supportedVersions"))):
                meta = as_object(result.get("_meta"))
                self._take_greeting(result, meta.get(wire.SERVER_KEY) or result.get("serverInfo"))
                return
            await self._shake_hands()
            return
        raise McpProtocolError(self.name, "it refuses the revision that it says it speaks")

    def _takes(self, spoken: list[Any]) -> bool:
        for revision in wire.STATELESS:
            if revision in spoken:
                self.revision = revision
                return True
        return False

    async def _shake_hands(self) -> None:
        self.revision = ""
        params = {
            "protocolVersion": self._wanted or wire.HANDSHAKE[0],
            "capabilities": dict(questions.capabilities(self._ask)),
            "clientInfo": _info(),
        }
        result = await self.request("initialize", params)
        revision = result.get("protocolVersion")
        if revision not in wire.HANDSHAKE:
            raise McpProtocolError(self.name, f"it speaks {revision!r}; we speak {', '.join(wire.HANDSHAKE)}")
        self.revision = str(revision)
        self._take_greeting(result, result.get("serverInfo"))
        self._put(wire.notification("notifications/initialized"))
        self._channel.settled(self.revision)

    def _take_greeting(self, result: JsonObject, info: object) -> None:
        self.server = as_object(info)
        self.capabilities = as_object(result.get("capabilities"))
        self.instructions = str(result.get("instructions", ""))

    async def _watch(self) -> None:
        """Stay: with a stateless server, listen for changes of the list of tools."""
        tools = as_object(self.capabilities.get("tools"))
        if self.revision in wire.STATELESS and tools.get("listChanged") and self._on_change is not None:
            try:
                await self.request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            except (McpRefusedError, McpUnavailableError) as error:
                logger.info("MCP server %s does not tell of changes: %s", self.name, error)
        await anyio.sleep_forever()

    async def _deliver_all(self, tasks: TaskGroup) -> None:
        async for item in self._errands:
            if isinstance(item, Message):
                tasks.start_soon(self._post, item)
                continue
            if isinstance(item.message.id, int | str):
                self._waiting[item.message.id] = item
                self._progress[item.message.id] = item
            tasks.start_soon(self._deliver, item)

    async def _deliver(self, errand: Errand) -> None:
        with errand.scope:
            try:
                await self._channel.send(errand.message, errand.headers)
            except SessionLostError as error:
                errand.settle(error)
                self._end(error.problem)
            except McpError as error:
                errand.settle(error)

    async def _post(self, message: Message) -> None:
        headers = {} if message.is_response else {http_headers.METHOD: message.name}
        try:
            await self._channel.send(message, headers if self.revision in wire.STATELESS else {})
        except SessionLostError as error:
            self._end(error.problem)
        except McpError as error:
            logger.info("a message to MCP server %s was lost: %s", self.name, error)

    async def _receive(self, message: Message) -> None:
        if message.is_response:
            errand = self._waiting.get(message.id or "")
            if errand is not None:
                errand.settle(message)
        elif message.is_request and self._tasks is not None:
            self._tasks.start_soon(self._answer, message)
        elif message.name == "notifications/progress":
            self._report(message)
        elif message.name == "notifications/tools/list_changed" and self._on_change is not None:
            self._on_change()

    def _report(self, message: Message) -> None:
        given = message.given
        errand = self._progress.get(given.get("progressToken", ""))
        done, total = given.get("progress"), given.get("total")
        if errand is None or errand.on_progress is None or not isinstance(done, int | float):
            return
        errand.on_progress(
            done, total if isinstance(total, int | float) else None, str(given.get("message", ""))
        )

    async def _answer(self, message: Message) -> None:
        """Answer a request of the server, which may take as long as a person does."""
        request_id = message.id if isinstance(message.id, int | str) else None
        try:
            result: JsonObject = {}
            if message.name != "ping":
                result = await questions.answer(message.name, message.given, self._ask)
            reply = wire.response(request_id, result)
        except McpRefusedError as error:
            reply = wire.failure_of(request_id, error)
        except SkillError as error:
            reply = wire.failure(request_id, Code.INTERNAL, str(error))
        self._put(reply)

    def _end(self, why: str) -> None:
        self._fail_all(why)
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def _fail_all(self, why: str) -> None:
        """Nothing more will come: tell all who wait."""
        self._lost = self._lost or why
        while True:  # what nobody took out of the queue any more
            try:
                item = self._errands.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
            if isinstance(item, Errand):
                item.settle(McpUnavailableError(self.name, why))
        for errand in tuple(self._waiting.values()):
            errand.settle(McpUnavailableError(self.name, why))
        self._waiting.clear()


@cache
def _info() -> JsonObject:
    return {"name": "agent-skills", "version": version("agent-skills")}
