"""Streamable HTTP: `McpHttp` is an ASGI application that any web framework mounts. Who may use it is for whoever mounts it.

A reply is plain JSON until a method says something meanwhile; then it becomes a stream of events. A client that hangs
up ends its request: nothing could be delivered any more. No stream is resumed.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import anyio

from agent_skills.decoded import as_object
from agent_skills.mcp import headers as http_headers
from agent_skills.mcp import wire
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.server import McpServer, Session
from agent_skills.mcp.wire import Code, Message

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendEvent: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
MAX_SESSIONS: Final = 1_000
_JSON: Final = (b"content-type", b"application/json")


class McpHttp:
    """The application: one address, POST for messages, DELETE for the end of a session."""

    def __init__(
        self, server: McpServer, *, hosts: frozenset[str] = LOCAL_HOSTS, max_body_bytes: int = 4 * 1024 * 1024
    ) -> None:
        """`hosts`: the names under which it may be reached, without ports; empty: any.

        A page in a browser can reach a local server under a name of its own (DNS rebinding), so the names are
        checked, and those of `Origin` with them.
        """
        self._server = server
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes
        self._sessions: dict[str, Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Serve one request of ASGI."""
        if scope["type"] != "http":
            return
        reply = _Reply(send)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if not self._is_own_host(headers):
            await reply.plain(403, "this host or origin is not served")
        elif scope["method"] == "POST":
            await self._post(headers, receive, reply)
        elif scope["method"] == "DELETE":
            gone = self._sessions.pop(headers.get(http_headers.SESSION, ""), None)
            await reply.plain(404 if gone is None else 204, "")
        else:
            await reply.plain(405, "POST a message", ((b"allow", b"POST, DELETE"),))

    def _is_own_host(self, headers: Mapping[str, str]) -> bool:
        if not self._hosts:
            return True
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        origin = headers.get("origin")
        asked = [host] if origin is None else [host, urlsplit(origin).hostname or ""]
        return all(one in self._hosts for one in asked)

    async def _post(self, headers: Mapping[str, str], receive: Receive, reply: "_Reply") -> None:
        body = await self._read(receive)
        if body is None:
            await reply.plain(413, "the message is too large")
            return
        try:
            message = wire.decode(body)
            session = self._session_of(message, headers)
            if session is None:
                await self._check(message, headers)
        except _NoSessionError:
            await reply.plain(404, "this session is over; begin another with initialize")
        except McpRefusedError as error:
            await reply.json(wire.failure_of(wire.id_in(body), error), error.code)
        else:
            await self._take(message, headers, session, receive, reply)

    async def _take(
        self,
        message: Message,
        headers: Mapping[str, str],
        session: Session | None,
        receive: Receive,
        reply: "_Reply",
    ) -> None:
        if message.is_response or not message.is_request:
            if session is not None and message.is_response:
                session.answer(message)
            elif session is not None and message.name == "notifications/cancelled":
                session.cancel(message)
            await reply.plain(202, "")
        elif message.name == "initialize" and _is_handshake(message, headers):
            opened, answer = self._server.begin(message)
            while len(self._sessions) >= MAX_SESSIONS:  # the oldest goes; its client begins another
                del self._sessions[next(iter(self._sessions))]
            self._sessions[opened.id] = opened
            await reply.json(answer, headers=((b"mcp-session-id", opened.id.encode()),))
        else:
            await self._run(message, session, receive, reply)

    async def _run(
        self, message: Message, session: Session | None, receive: Receive, reply: "_Reply"
    ) -> None:
        """Carry out a request until it is answered, cancelled, or its client hangs up."""
        request_id = message.id
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_at_hangup, receive, tasks.cancel_scope)
            if session is not None and isinstance(request_id, int | str):
                session.running[request_id] = tasks.cancel_scope
            try:
                answer = await self._server.handle(message, reply.event, session)
            finally:
                if session is not None and isinstance(request_id, int | str):
                    session.running.pop(request_id, None)
            await reply.last(answer, is_stateless=session is None)
            tasks.cancel_scope.cancel()
        if not reply.is_over:  # cancelled: HTTP wants an end all the same
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await reply.give_up()

    async def _check(self, message: Message, headers: Mapping[str, str]) -> None:
        """Hold that a message without a session can be understood."""
        if _is_handshake(message, headers):
            if message.name != "initialize":
                raise McpRefusedError(Code.INVALID_REQUEST, "no session: begin with initialize")
            return
        if not message.is_request:
            return
        self._server.check(message)
        http_headers.check_standard(message, headers)
        if message.name == "tools/call":
            name, arguments = message.given.get("name"), as_object(message.given.get("arguments"))
            for tool in await self._server.tools.list():
                if tool.get("name") == name:
                    http_headers.check_custom(as_object(tool.get("inputSchema")), arguments, headers)

    def _session_of(self, message: Message, headers: Mapping[str, str]) -> Session | None:
        named = headers.get(http_headers.SESSION)
        if named is None or message.name == "initialize":
            return None
        if named not in self._sessions:
            raise _NoSessionError
        return self._sessions[named]

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            event = await receive()
            body += event.get("body", b"")
            if len(body) > self._max_body_bytes:
                return None
            if event["type"] == "http.disconnect" or not event.get("more_body"):
                return bytes(body)


class _NoSessionError(Exception):
    """A session that is not known, or no longer."""


class _Reply:
    """One HTTP reply: JSON, or a stream of events from the first thing that is said meanwhile."""

    def __init__(self, send: SendEvent) -> None:
        self._send = send
        self._is_stream = False
        self.is_over = False

    async def plain(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        await self._whole(status, text.encode(), ((b"content-type", b"text/plain; charset=utf-8"), *headers))

    async def json(
        self, message: Message, code: int = 0, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        status = wire.HTTP_STATUS.get(Code(code), 200) if code in Code.__members__.values() else 200
        await self._whole(status, wire.encode(message), (_JSON, *headers))

    async def event(self, message: Message) -> None:
        """Say something before the answer."""
        if not self._is_stream:
            self._is_stream = True
            start = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": start})
        body = b"event: message\ndata: " + wire.encode(message) + b"\n\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def last(self, message: Message, *, is_stateless: bool) -> None:
        """The answer."""
        if self._is_stream:
            await self.event(message)
            await self.give_up()
            return
        fault = message.error
        await self.json(message, fault.code if is_stateless and isinstance(fault, wire.Fault) else 0)

    async def give_up(self) -> None:
        """End without an answer."""
        if not self._is_stream:
            await self.plain(499, "the request was cancelled")
            return
        self.is_over = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _whole(self, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.is_over = True
        sized = [*headers, (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": sized})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _is_handshake(message: Message, headers: Mapping[str, str]) -> bool:
    """Whether a message belongs to a revision with a handshake."""
    if wire.VERSION_KEY in message.meta:
        return False
    version = headers.get(http_headers.VERSION)
    return message.name == "initialize" if version is None else version in wire.HANDSHAKE


async def _end_at_hangup(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
