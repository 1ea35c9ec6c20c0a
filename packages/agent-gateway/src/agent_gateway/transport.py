"""HTTP: the port, `Transport.send`, and its adapter over httpx, of which this is the only importer; it is imported at
the first request because that takes a fifth of a second.

Statuses are the caller's business (`failures`); what a client raises becomes ours by one table (`transport_errors`).
Redirects are not followed: a key is for the host that it was given for.
"""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, cast

import anyio
import msgspec

from agent_gateway.errors import BrokenReplyError, ProviderTimeoutError, ReplyTooLargeError
from agent_gateway.inflate import ACCEPTED, Inflater
from agent_gateway.proxies import Proxies
from agent_gateway.transport_errors import translate

if TYPE_CHECKING:
    import ssl

    import httpx

_DRAIN_S = 0.2
_KNOWN_URLS = 100
_SILENT = "Server disconnected without sending"
"""How httpcore begins to say so; it has no class of its own for it."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds."""

    connect_s: float = 10.0
    """For a connection."""
    first_byte_s: float = 300.0
    """For the head of the reply. A model that does not stream sends it when it has thought and written all."""
    between_s: float = 180.0
    """For each further piece of the reply."""
    total_s: float | None = None
    """For all of it, from the request to the last byte; None: no end."""


class HttpCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    url: str
    where: str
    """Who is asked, for error messages: no key in it."""
    headers: Mapping[str, str]
    body: bytes = b""
    method: Literal["GET", "POST"] = "POST"
    total_s: float | None = None
    """For all of it, where that is less than the transport's `Timeouts` allow."""


def ends_at(timeouts: Timeouts, call: HttpCall) -> float | None:
    """The moment, by `time.monotonic`, at which `call` must have its last byte; None: no end."""
    totals = [total_s for total_s in (timeouts.total_s, call.total_s) if total_s is not None]
    return time.monotonic() + min(totals) if totals else None


class HttpReply(ABC):
    """The head of a reply; its body comes by `chunks`, once."""

    __slots__ = ("_limit_bytes", "_size_bytes", "headers", "status", "where")

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    def __init__(self, where: str, limit_bytes: int) -> None:
        self.where = where
        self._limit_bytes = limit_bytes
        self._size_bytes = 0

    @abstractmethod
    def packed(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, still compressed where it is; each piece goes through `counted`."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, unpacked. A reader that stops at the format's own end still lets the reply end.

        Raises:
            ProviderUnavailableError: one of its kinds, by `transport_errors`.
            ReplyTooLargeError: more bytes than the transport allows.
        """
        encoding = self.headers.get("content-encoding", "")
        return self.packed() if encoding in {"", "identity"} else self._unpacked(encoding)

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.chunks()])

    def counted(self, piece: bytes) -> bytes:
        """`piece`, which is counted.

        Raises:
            ReplyTooLargeError: there have been too many.
        """
        self._size_bytes += len(piece)
        if self._size_bytes > self._limit_bytes:
            raise ReplyTooLargeError(self.where, "its reply", self._limit_bytes)
        return piece

    async def _unpacked(self, encoding: str) -> AsyncGenerator[bytes, None]:
        if encoding not in ACCEPTED:
            raise BrokenReplyError(self.where, f"its reply is compressed as {encoding[:20]!r}, unasked")
        inflater = Inflater()
        try:
            async with aclosing(self.packed()) as packed:
                async for chunk in packed:
                    for piece in inflater.feed(chunk):
                        yield self.counted(piece)
        except zlib.error as error:
            raise translate(error, self.where, began=True) from error
        if not inflater.is_whole:
            raise BrokenReplyError(self.where, "its reply broke off before its end")


class Transport(ABC):
    """What carries requests."""

    @abstractmethod
    def send(self, call: HttpCall) -> AbstractAsyncContextManager[HttpReply]:
        """Send `call`; entering waits for the head of the reply, leaving closes the connection or keeps it.

        Raises:
            ProviderUnavailableError: no connection, or it broke.
            ProviderRefusedError: the URL is none.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""


class HttpxTransport(Transport):
    """The transport over httpx, with a pool of connections. Proxies are read from the environment."""

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        max_connections: int = 1_000,
        max_reply_bytes: int = 256 * 1024 * 1024,
        ssl_context: "ssl.SSLContext | None" = None,
    ) -> None:
        """`max_reply_bytes` is counted after unpacking; `ssl_context` replaces certifi's list of authorities."""
        self._timeouts = timeouts or Timeouts()
        self._max_connections = max_connections
        self._max_reply_bytes = max_reply_bytes
        self._ssl_context = ssl_context
        self._pools: dict[str | None, httpx.AsyncHTTPTransport] = {}
        self._urls: dict[str, httpx.URL] = {}
        self._proxies = Proxies()

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Send `call`; see `Transport`."""
        timeouts, ends = self._timeouts, ends_at(self._timeouts, call)
        phases: dict[str, float] = {
            "connect": timeouts.connect_s,
            "pool": timeouts.connect_s,
            "write": timeouts.between_s,
            "read": timeouts.first_byte_s,
        }
        with _until(ends, call.where):
            response = await self._sent(call, phases)
        phases["read"] = timeouts.between_s  # httpcore looks again when the body is begun
        try:
            yield _HttpxReply(response, call.where, self._max_reply_bytes, ends)
        finally:
            await response.aclose()

    async def _sent(self, call: HttpCall, phases: dict[str, float]) -> "httpx.Response":
        """Send, and once more where the server hung up without a word.

        A server may close an idle connection in the moment in which we use it again (RFC 9112, 9.3.1 and 9.5).
        """
        import httpx  # noqa: PLC0415 (see the module's docstring)

        try:
            url = self._url(call.url)
            pool = self._pool(url)
            # Not httpx.AsyncClient: its cookies, redirects and hooks cost as much as all the rest, for no use here.
            request = httpx.Request(
                call.method, url, headers=call.headers, content=call.body, extensions={"timeout": phases}
            )
            try:
                return await pool.handle_async_request(request)
            except httpx.RemoteProtocolError as error:
                if not str(error).startswith(_SILENT):
                    raise
                return await pool.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise translate(error, call.where) from error

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    def _url(self, text: str) -> "httpx.URL":
        """`text` as a URL; reading one takes as long as the rest of a request."""
        url = self._urls.get(text)
        if url is None:
            import httpx  # noqa: PLC0415 (loaded already)

            if len(self._urls) >= _KNOWN_URLS:
                self._urls.clear()
            url = self._urls[text] = httpx.URL(text)
        return url

    def _pool(self, url: "httpx.URL") -> "httpx.AsyncHTTPTransport":
        proxy = self._proxies.of(url.scheme, url.host)
        pool = self._pools.get(proxy)
        if pool is None:
            import httpx  # noqa: PLC0415 (loaded already)

            limits = httpx.Limits(max_connections=self._max_connections, max_keepalive_connections=100)
            verify = True if self._ssl_context is None else self._ssl_context
            pool = self._pools[proxy] = httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy)
        return pool


class _HttpxReply(HttpReply):
    __slots__ = ("_ends", "_response")

    def __init__(self, response: "httpx.Response", where: str, limit_bytes: int, ends: float | None) -> None:
        super().__init__(where, limit_bytes)
        self._response = response
        self._ends = ends
        self.status = response.status_code
        self.headers = response.headers

    async def packed(self) -> AsyncGenerator[bytes, None]:
        import httpx  # noqa: PLC0415 (loaded already: a request is under way)

        pieces = aiter(cast("httpx.AsyncByteStream", self._response.stream))
        try:
            if self._ends is None:
                async for piece in pieces:
                    yield self.counted(piece)
                return
            while True:
                with _until(self._ends, self.where):
                    piece = await anext(pieces)
                yield self.counted(piece)
        except StopAsyncIteration:
            return
        except httpx.HTTPError as error:
            raise translate(error, self.where, began=True) from error


@contextmanager
def _until(ends: float | None, where: str) -> Generator[None, None, None]:
    """Hold what is within to the moment `ends`, by `time.monotonic`."""
    if ends is None:
        yield
        return
    try:
        with anyio.fail_after(ends - time.monotonic()):
            yield
    except TimeoutError as error:
        raise ProviderTimeoutError(where, "it did not end in time", phase="total") from error


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of a reply that has said all, for a moment at most, so that its connection can be used again."""
    with anyio.move_on_after(_DRAIN_S):
        async for _ in chunks:
            pass


def default_transport(*, timeouts: Timeouts | None = None) -> Transport:
    """The transport over httptools where that extra is installed, for a fifth of the CPU, else over httpx.

    It runs on asyncio alone: with trio, give an `HttpxTransport`.
    """
    if find_spec("httptools") is None:
        return HttpxTransport(timeouts=timeouts)
    from agent_gateway.httptools_transport import HttptoolsTransport  # noqa: PLC0415 (it imports this module)

    return HttptoolsTransport(timeouts=timeouts)
