"""A server behind a URL: Streamable HTTP. Every request is one POST, whose reply is JSON or a stream of events."""

import contextlib
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import anyio
import msgspec
from anyio.abc import TaskGroup

from agent_skills.http import HttpClient, HttpFailedError, HttpReply, HttpRequest
from agent_skills.mcp import headers as http_headers
from agent_skills.mcp import wire
from agent_skills.mcp.client.channel import Inbox, Lost, SessionLostError
from agent_skills.mcp.errors import McpProtocolError, McpRefusedError, McpUnavailableError
from agent_skills.mcp.sse import EventSplitter
from agent_skills.mcp.wire import Message

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 3
RECONNECTIONS = 3
"""How often a stream is taken up again that ended before its answer."""
_RETRY_MS = 1_000
_SILENCE_S = 300.0
_JSON = "application/json"
_STREAM = "text/event-stream"


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as an authentication sees it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Authentication(Protocol):
    """Adds credentials to requests, and gets them first where that takes requests of its own."""

    def flow(self, request: HttpRequest) -> AsyncGenerator[tuple[HttpRequest, bool], HttpAnswer]:
        """Yield requests to be sent, each with whether it is the one that was given (perhaps with other headers);
        receive the answer to each.
        """
        ...


class HttpChannel:
    """A channel to a URL."""

    discovery_s = math.inf  # HTTP always answers

    def __init__(
        self,
        server: str,
        url: str,
        client: HttpClient,
        *,
        headers: Mapping[str, str] | None = None,
        authentication: Authentication | None = None,
    ) -> None:
        """`headers` go with every request to this server, and to no other."""
        self._server = server
        self._url = url
        self._client = client
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._authentication = authentication
        self._session = ""
        self._revision = ""
        self._inbox: Inbox | None = None
        self._tasks: TaskGroup | None = None

    async def open(self, tasks: TaskGroup, inbox: Inbox, lost: Lost) -> None:  # noqa: ARG002 - no connection to lose
        """Nothing is open between requests."""
        self._inbox, self._tasks = inbox, tasks

    def settled(self, revision: str) -> None:
        """With a session, the server may speak first: listen."""
        self._revision = revision
        if self._session and self._tasks is not None:
            self._tasks.start_soon(self._listen)

    async def send(self, message: Message, headers: dict[str, str]) -> None:
        """POST a message and read the reply to its end."""
        request = HttpRequest(
            method="POST",
            url=self._url,
            headers={
                "content-type": _JSON,
                "accept": f"{_JSON}, {_STREAM}",
                **self._common(),
                **headers,
            },
            body=wire.encode(message),
        )
        try:
            async with self._exchange(request) as reply:
                await self._take(message, reply)
        except HttpFailedError as error:
            raise McpUnavailableError(self._server, error.problem) from error

    async def aclose(self) -> None:
        """End the session, where there is one."""
        session, self._session = self._session, ""
        if not session:
            return
        headers = {**self._common(), http_headers.SESSION: session}
        request = HttpRequest(method="DELETE", url=self._url, headers=headers)
        with anyio.CancelScope(shield=True), anyio.move_on_after(2), contextlib.suppress(HttpFailedError):
            async with self._client.send(request):
                pass

    def _common(self) -> dict[str, str]:
        common = dict(self._headers)
        if self._session:
            common[http_headers.SESSION] = self._session
        if self._revision:
            common[http_headers.VERSION] = self._revision
        return common

    async def _take(self, message: Message, reply: HttpReply) -> None:
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if reply.status >= 300:
            await self._take_failure(message, reply, kind)
        elif not message.is_request:
            return
        elif kind == _STREAM:
            self._begin_session(message, reply)
            await self._read_stream(message, reply)
        elif kind == _JSON:
            self._begin_session(message, reply)
            await self._deliver(await reply.read(wire.MAX_MESSAGE_BYTES), message)
        else:
            raise McpProtocolError(self._server, f"it answers with {kind or 'nothing'!r}")

    def _begin_session(self, message: Message, reply: HttpReply) -> None:
        if message.name == "initialize":
            self._session = reply.headers.get(http_headers.SESSION, "")

    async def _take_failure(self, message: Message, reply: HttpReply, kind: str) -> None:
        body = await reply.read() if kind == _JSON else b""
        if message.is_request and body:
            with contextlib.suppress(McpRefusedError):
                fault = wire.decode(body)
                if isinstance(fault.error, wire.Fault):
                    await self._give(Message(id=message.id, error=fault.error))
                    return
        if reply.status == 404 and self._session:
            raise SessionLostError(self._server, "it has forgotten the session")
        if reply.status in {401, 403}:
            raise McpUnavailableError(
                self._server,
                f"it wants credentials (HTTP {reply.status}); set a header, or `oauth` (`agent-skills[mcp]`)",
            )
        if 400 <= reply.status < 500 and message.is_request:
            # An older server does not know the method, or the header that names the revision.
            await self._give(wire.failure(_id(message), wire.Code.METHOD_NOT_FOUND, f"HTTP {reply.status}"))
            return
        raise McpUnavailableError(self._server, f"it answers HTTP {reply.status}")

    async def _read_stream(self, message: Message, reply: HttpReply) -> None:
        last_id, retry_ms = "", _RETRY_MS
        for attempt in range(RECONNECTIONS + 1):
            if attempt:
                await anyio.sleep(retry_ms / 1_000)
                found = await self._resume(message, last_id)
            else:
                found = await self._read_events(message, reply)
            if found.is_answered:
                return
            last_id, retry_ms = found.last_id or last_id, found.retry_ms or retry_ms
            if not last_id:
                break
        raise McpUnavailableError(self._server, "its reply ended without an answer")

    async def _resume(self, message: Message, last_id: str) -> "_Found":
        headers = {**self._common(), "accept": _STREAM, "last-event-id": last_id}
        async with self._exchange(HttpRequest(method="GET", url=self._url, headers=headers)) as reply:
            if reply.status != 200:
                raise McpUnavailableError(self._server, f"it does not resume (HTTP {reply.status})")
            return await self._read_events(message, reply)

    async def _read_events(self, message: Message | None, reply: HttpReply) -> "_Found":
        """Deliver events until the answer to `message`, or to the end of the stream."""
        found = _Found()
        splitter = EventSplitter()
        try:
            async for chunk in reply.chunks():
                for event in splitter.feed(chunk):
                    found.last_id = event.id or found.last_id
                    found.retry_ms = event.retry_ms if event.retry_ms is not None else found.retry_ms
                    if event.data and await self._deliver(event.data, message):
                        found.is_answered = True
                        return found
        except ValueError as error:
            raise McpProtocolError(self._server, str(error)) from None
        except HttpFailedError as error:
            if not found.last_id:
                raise
            logger.debug("the stream of %s broke off: %s", self._server, error)
        return found

    async def _listen(self) -> None:
        """What a server with a session says unasked. One that offers no such stream says so, and that is all."""
        with contextlib.suppress(HttpFailedError, McpUnavailableError, McpProtocolError):
            headers = {**self._common(), "accept": _STREAM}
            async with self._exchange(HttpRequest(method="GET", url=self._url, headers=headers)) as reply:
                if reply.status == 200:
                    await self._read_events(None, reply)

    async def _deliver(self, data: bytes, message: Message | None) -> bool:
        """Hand a message on; returns whether it answers `message`."""
        try:
            received = wire.decode(data)
        except McpRefusedError as error:
            raise McpProtocolError(self._server, str(error)) from None
        await self._give(received)
        return message is not None and received.is_response and received.id == message.id

    async def _give(self, message: Message) -> None:
        if self._inbox is not None:
            await self._inbox(message)

    # ── credentials and redirects ────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def _exchange(self, request: HttpRequest) -> AsyncGenerator[HttpReply]:
        if self._authentication is None:
            async with self._followed(request) as reply:
                yield reply
            return
        async with contextlib.aclosing(self._authentication.flow(request)) as flow:
            outgoing, is_given = await anext(flow)
            while True:
                async with self._followed(outgoing) as reply:
                    is_last = is_given and reply.status not in {401, 403}
                    body = b"" if is_last else await reply.read()
                    answer = HttpAnswer(status=reply.status, headers=reply.headers, body=body)
                    following = await _next(flow, answer)
                    if following is None:
                        yield reply if is_last else _Read(reply, body)
                        return
                outgoing, is_given = following

    @contextlib.asynccontextmanager
    async def _followed(self, request: HttpRequest) -> AsyncGenerator[HttpReply]:
        """Follow redirects that keep the method and stay at the origin: what we send was meant for it alone."""
        async with contextlib.AsyncExitStack() as stack:
            reply = await stack.enter_async_context(self._client.send(request, read_timeout_s=_SILENCE_S))
            for _ in range(MAX_REDIRECTS):
                location = reply.headers.get("location", "")
                target = urljoin(request.url, location)
                keeps = reply.status in {307, 308} or (
                    request.method == "GET" and reply.status in {301, 302, 303}
                )
                if not location or not keeps or not _is_same_origin(request.url, target):
                    break
                request = msgspec.structs.replace(request, url=target)
                reply = await stack.enter_async_context(self._client.send(request, read_timeout_s=_SILENCE_S))
            yield reply


async def _next(
    flow: AsyncGenerator[tuple[HttpRequest, bool], HttpAnswer], answer: HttpAnswer
) -> tuple[HttpRequest, bool] | None:
    try:
        return await flow.asend(answer)
    except StopAsyncIteration:
        return None


class _Found:
    """How far a stream got."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.is_answered = False


class _Read(HttpReply):
    """A reply whose body was read already."""

    def __init__(self, reply: HttpReply, body: bytes) -> None:  # pyright: ignore[reportMissingSuperCall] - nothing to read
        self.status = reply.status
        self.headers = reply.headers
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def read(self, max_bytes: int = 0) -> bytes:  # noqa: ARG002 - it was bounded when it was read
        return self._body


def _is_same_origin(one: str, other: str) -> bool:
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


def _id(message: Message) -> wire.RequestId | None:
    return message.id if isinstance(message.id, int | str) else None
