"""The transport over asyncio and httptools, with no other client between: a fifth of the CPU of httpx.

Owns the deadlines; connections are the `pool`'s. httptools is the extra `httptools`, imported at the first request.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent_gateway.errors import MissingExtraError, ProviderTimeoutError, TimeoutPhase
from agent_gateway.proxies import Proxies
from agent_gateway.transport import HttpCall, HttpReply, Timeouts, Transport, ends_at
from agent_gateway.transport_errors import HungUpError, translate

if TYPE_CHECKING:
    import ssl

    from agent_gateway.connection import Connection
    from agent_gateway.dialing import Place
    from agent_gateway.pool import Pool

_KNOWN_URLS = 100
_LATE: dict[TimeoutPhase, str] = {
    "connect": "no connection in time",
    "first_byte": "it did not answer in time",
    "between": "it fell silent for too long",
    "total": "it did not end in time",
}


class HttptoolsTransport(Transport):
    """The transport over asyncio and httptools, with a pool of connections. Proxies are read from the environment."""

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        max_connections: int = 1_000,
        max_reply_bytes: int = 256 * 1024 * 1024,
        ssl_context: "ssl.SSLContext | None" = None,
    ) -> None:
        """`max_reply_bytes` is counted after unpacking; `ssl_context` replaces the system's list of authorities."""
        self._timeouts = timeouts or Timeouts()
        self._max_connections = max_connections
        self._max_reply_bytes = max_reply_bytes
        self._ssl_context = ssl_context
        self._pool: Pool | None = None
        self._places: dict[str, Place] = {}
        self._proxies = Proxies()

    def send(self, call: HttpCall) -> AbstractAsyncContextManager[HttpReply]:
        """Send `call`; see `Transport`.

        Raises:
            MissingExtraError: httptools is not installed.
        """
        pool = self._pool or self._made_pool()
        return _Exchange(call, pool, self._place(call), self._timeouts, self._max_reply_bytes)

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        if self._pool is not None:
            await self._pool.aclose()

    def _made_pool(self) -> "Pool":
        try:
            from agent_gateway.pool import Pool  # noqa: PLC0415 (see the module's docstring)
        except ImportError as error:
            raise MissingExtraError("httptools", "httptools") from error
        self._pool = Pool(self._max_connections, self._ssl_context)
        return self._pool

    def _place(self, call: HttpCall) -> "Place":
        """Where the call's URL leads; read once."""
        place = self._places.get(call.url)
        if place is None:
            from agent_gateway.dialing import place_of  # noqa: PLC0415 (loaded already, by the pool)

            if len(self._places) >= _KNOWN_URLS:
                self._places.clear()
            place = self._places[call.url] = place_of(call.url, call.where, self._proxies)
        return place


class _Exchange(HttpReply):
    """One request; once it is entered, its reply."""

    __slots__ = ("_call", "_connection", "_ends", "_phase", "_place", "_pool", "_timeouts")

    def __init__(
        self, call: HttpCall, pool: "Pool", place: "Place", timeouts: Timeouts, limit_bytes: int
    ) -> None:
        super().__init__(call.where, limit_bytes)
        self._call = call
        self._pool = pool
        self._place = place
        self._timeouts = timeouts
        self._phase: TimeoutPhase = "connect"

    async def __aenter__(self) -> Self:
        self._ends = ends_at(self._timeouts, self._call)
        try:
            head = _head(self._call, self._place)
            try:
                connection = await self._answered(head, fresh=False)
            except HungUpError:
                # A server may close an idle connection in the moment in which we use it again (RFC 9112, 9.3.1).
                connection = await self._answered(head, fresh=True)
        except TimeoutError as error:
            raise self._late() from error
        except (OSError, ValueError) as error:
            raise translate(error, self.where) from error
        self._connection = connection
        self.status, self.headers = connection.status, connection.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.put(self._place.way, self._connection)

    async def read(self) -> bytes:
        """The whole body; without the layers of `chunks` where it is not compressed."""
        if self.headers.get("content-encoding", "") not in {"", "identity"}:
            return await super().read()
        pieces: list[bytes] = []
        while piece := await self._next():
            pieces.append(self.counted(piece))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def packed(self) -> AsyncGenerator[bytes, None]:
        while piece := await self._next():
            yield self.counted(piece)

    async def _answered(self, head: bytes, *, fresh: bool) -> "Connection":
        """The connection by which the head of the reply has come."""
        wait_s = self._wait_s("connect", self._timeouts.connect_s)
        connection = await self._pool.take(self._place.way, self.where, wait_s, fresh=fresh)
        try:
            connection.send(head, self._call.body)
            await connection.head(self._wait_s("first_byte", self._timeouts.first_byte_s))
        except BaseException:
            self._pool.put(self._place.way, connection)
            raise
        return connection

    async def _next(self) -> bytes:
        """The next piece; empty at the end."""
        connection = self._connection
        piece = connection.take()
        if connection.is_whole:
            return piece
        if self._ends is not None and time.monotonic() >= self._ends:  # there may always be more to take
            self._phase = "total"
            raise self._late()
        if piece:
            return piece
        try:
            return await connection.read(self._wait_s("between", self._timeouts.between_s))
        except TimeoutError as error:
            raise self._late() from error
        except OSError as error:
            raise translate(error, self.where, began=True) from error

    def _wait_s(self, phase: TimeoutPhase, longest_s: float) -> float:
        """How long to wait now, and for what, should it be in vain."""
        left_s = longest_s if self._ends is None else self._ends - time.monotonic()
        self._phase = phase if longest_s <= left_s else "total"
        return min(longest_s, left_s)

    def _late(self) -> ProviderTimeoutError:
        return ProviderTimeoutError(self.where, _LATE[self._phase], phase=self._phase)


def _head(call: HttpCall, place: "Place") -> bytes:
    """The request up to its body (RFC 9112, 3).

    Raises:
        ValueError: a header would break it.
    """
    fields = "".join([f"{name}: {value}\r\n" for name, value in call.headers.items()])
    lines = len(call.headers)
    if fields.count("\n") != lines or fields.count("\r") != lines or "\0" in fields:
        raise ValueError("a header has a line break in it")
    length = f"Content-Length: {len(call.body)}\r\n" if call.body or call.method == "POST" else ""
    return f"{call.method} {place.target} HTTP/1.1\r\n{place.fields}{fields}{length}\r\n".encode()
