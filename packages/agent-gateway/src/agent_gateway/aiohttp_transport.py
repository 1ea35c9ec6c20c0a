"""The transport over aiohttp, of which this is the only importer: asyncio alone, a quarter of the CPU of httpx.

aiohttp is the extra `aiohttp`, imported at the first request. Of it the connections are used (pool, names, TLS, proxies)
and the parser of replies, but not `ClientSession`: its cookies, redirects, hooks and a task for each body cost more than
all the rest, for no use here. Those parts are public but seldom used alone, so no next major version is taken unseen; the
tests of faults hold with aiohttp 3.12 to 3.14.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from agent_gateway.errors import MissingExtraError, ProviderTimeoutError, TimeoutPhase
from agent_gateway.proxies import Proxies
from agent_gateway.transport import HttpCall, HttpReply, Timeouts, Transport, ends_at
from agent_gateway.transport_errors import translate

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

_BUFFER_BYTES = 64 * 1024
_KNOWN_URLS = 100


class _Answer(NamedTuple):
    """A reply whose head is there, and the connection that it comes by."""

    connection: "Connection"
    head: "RawResponseMessage"
    body: "aiohttp.StreamReader"


class AiohttpTransport(Transport):
    """The transport over aiohttp, with a pool of connections. Proxies are read from the environment."""

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
        self._connector: aiohttp.TCPConnector | None = None
        self._places: dict[tuple[str, str | None], aiohttp.ClientRequest] = {}
        self._proxies = Proxies()

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Send `call`; see `Transport`.

        Raises:
            MissingExtraError: aiohttp is not installed.
        """
        ends = ends_at(self._timeouts, call)
        answer = await self._sent(call, ends)
        try:
            yield _AiohttpReply(answer, call.where, self._max_reply_bytes, self._timeouts.between_s, ends)
        finally:
            # Gives the connection back where the reply was read to its end, and closes it where it was not.
            answer.connection.release() if answer.body.is_eof() else answer.connection.close()

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        connector, self._connector = self._connector, None
        self._places.clear()
        if connector is not None:
            await connector.close()

    async def _sent(self, call: HttpCall, ends: float | None) -> _Answer:
        """Send, and once more where the server hung up without a word; see `HttpxTransport`."""
        connector = self._ready()
        import aiohttp  # noqa: PLC0415 (loaded already)
        from aiohttp.http import HttpProcessingError  # noqa: PLC0415

        longest_s = self._timeouts.connect_s + self._timeouts.first_byte_s
        wait_s = _shorter(longest_s, ends)
        try:
            place = self._place(call.url)
            async with asyncio.timeout(wait_s):
                try:
                    return await self._ask(connector, place, call)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                    return await self._ask(connector, place, call)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ClientError):
                raise translate(error, call.where) from error
            phase: TimeoutPhase = "first_byte" if wait_s == longest_s else "total"
            raise ProviderTimeoutError(call.where, "it did not answer in time", phase=phase) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise translate(error, call.where) from error

    async def _ask(
        self, connector: "aiohttp.TCPConnector", place: "aiohttp.ClientRequest", call: HttpCall
    ) -> _Answer:
        import aiohttp  # noqa: PLC0415 (loaded already)

        try:
            connection = await connector.connect(place, [], self._wait)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        protocol, channel = connection.protocol, connection.transport
        if protocol is None or channel is None:  # it closed in this very moment
            connection.close()
            raise aiohttp.ServerDisconnectedError
        try:
            protocol.set_response_params(
                auto_decompress=False, read_until_eof=True, read_bufsize=_BUFFER_BYTES
            )
            channel.write(_head(call, place) + call.body)
            while True:
                head, body = await protocol.read()
                if head.code >= 200:  # what comes before announces the reply (RFC 9110, 15.2)
                    return _Answer(connection, head, body)
        except BaseException:
            connection.close()
            raise

    def _ready(self) -> "aiohttp.TCPConnector":
        if self._connector is None:
            try:
                import aiohttp  # noqa: PLC0415 (see the module's docstring)
            except ImportError as error:
                raise MissingExtraError("aiohttp", "aiohttp") from error
            self._connector = aiohttp.TCPConnector(
                limit=self._max_connections,
                ssl=True if self._ssl_context is None else self._ssl_context,
            )
            self._wait = aiohttp.ClientTimeout(
                total=None, connect=self._timeouts.connect_s, ceil_threshold=1e9
            )
        return self._connector

    def _place(self, url: str) -> "aiohttp.ClientRequest":
        """Where a URL leads: what the pool of connections is asked with. Read once: it takes as long as a request.

        Raises:
            aiohttp.InvalidURL: it is none, or of another scheme than HTTP's.
        """
        scheme, _, rest = url.partition("://")
        proxy = self._proxies.of(scheme, rest.partition("/")[0])
        place = self._places.get((url, proxy))
        if place is None:
            import aiohttp  # noqa: PLC0415 (loaded already)
            from yarl import URL  # noqa: PLC0415 (of aiohttp's)

            try:
                read = URL(url)
            except ValueError as error:
                raise aiohttp.InvalidUrlClientError(url) from error
            if read.scheme not in {"http", "https"}:
                raise aiohttp.NonHttpUrlClientError(url)
            if len(self._places) >= _KNOWN_URLS:
                self._places.clear()
            place = self._places[url, proxy] = aiohttp.ClientRequest(
                "POST", read, loop=asyncio.get_running_loop(), proxy=URL(proxy) if proxy else None
            )
        return place


def _head(call: HttpCall, place: "aiohttp.ClientRequest") -> bytes:
    """The request up to its body (RFC 9112, 3). What a proxy is to be told is known once there is a connection.

    Raises:
        ValueError: a header would break it.
    """
    through_proxy = place.proxy is not None and place.url.scheme == "http"  # else by a tunnel
    lines = [
        f"{call.method} {place.url if through_proxy else place.url.raw_path_qs} HTTP/1.1",
        f"Host: {place.headers['Host']}",
        *[f"{name}: {value}" for name, value in call.headers.items()],
    ]
    if through_proxy and "Proxy-Authorization" in place.headers:
        lines.append(f"Proxy-Authorization: {place.headers['Proxy-Authorization']}")
    if call.body or call.method == "POST":
        lines.append(f"Content-Length: {len(call.body)}")
    head = "\n".join([*lines, "", ""])
    if head.count("\n") != len(lines) + 1 or "\r" in head or "\0" in head:
        raise ValueError("a header has a line break in it")
    return head.replace("\n", "\r\n").encode()


class _AiohttpReply(HttpReply):
    __slots__ = ("_between_s", "_body", "_ends")

    def __init__(
        self, answer: _Answer, where: str, limit_bytes: int, between_s: float, ends: float | None
    ) -> None:
        super().__init__(where, limit_bytes)
        self._body = answer.body
        self._between_s = between_s
        self._ends = ends
        self.status = answer.head.code
        self.headers: Mapping[str, str] = answer.head.headers

    async def read(self) -> bytes:
        """The whole body; without the layers of `chunks` where it is not compressed."""
        if self.headers.get("content-encoding", "") not in {"", "identity"}:
            return await super().read()
        body = bytearray()
        while piece := await self._next():
            body += self.counted(piece)
        return bytes(body)

    async def packed(self) -> AsyncGenerator[bytes, None]:
        while piece := await self._next():
            yield self.counted(piece)

    async def _next(self) -> bytes:
        """The next piece; empty at the end."""
        import aiohttp  # noqa: PLC0415 (loaded already: a request is under way)

        content = self._body
        try:
            piece = content.read_nowait()
            if piece or content.at_eof():
                return piece
            return await self._awaited(content)
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, self.where, began=True) from error

    async def _awaited(self, content: "aiohttp.StreamReader") -> bytes:
        wait_s = _shorter(self._between_s, self._ends)
        try:
            async with asyncio.timeout(wait_s):
                return await content.readany()
        except TimeoutError as error:
            total = wait_s != self._between_s
            words = "it did not end in time" if total else "it fell silent for too long"
            raise ProviderTimeoutError(self.where, words, phase="total" if total else "between") from error


def _shorter(wait_s: float, ends: float | None) -> float:
    """`wait_s`, or what is left until `ends`, by `time.monotonic`."""
    return wait_s if ends is None else min(wait_s, ends - time.monotonic())
