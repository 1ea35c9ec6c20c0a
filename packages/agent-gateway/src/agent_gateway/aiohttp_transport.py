"""The transport over aiohttp, of which this is the only importer: asyncio alone, a fifth of the CPU of httpx.

aiohttp is the extra `aiohttp`, imported at the first request.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent_gateway.errors import MissingExtraError, ProviderTimeoutError, TimeoutPhase
from agent_gateway.proxies import Proxies
from agent_gateway.transport import HttpCall, HttpReply, Timeouts, Transport, ends_at
from agent_gateway.transport_errors import translate

if TYPE_CHECKING:
    import ssl

    import aiohttp

_UNWANTED_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_BUFFER_BYTES = 64 * 1024


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
        self._session: aiohttp.ClientSession | None = None
        self._waits: dict[float, aiohttp.ClientTimeout] = {}
        self._proxies = Proxies()

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Send `call`; see `Transport`.

        Raises:
            MissingExtraError: aiohttp is not installed.
        """
        timeouts, ends = self._timeouts, ends_at(self._timeouts, call)
        response = await self._sent(call, timeouts, ends)
        try:
            yield _AiohttpReply(response, call.where, self._max_reply_bytes, timeouts.between_s, ends)
        finally:
            # Gives the connection back where the reply was read to its end, and closes it where it was not.
            response.close() if not response.content.is_eof() else response.release()

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _sent(self, call: HttpCall, timeouts: Timeouts, ends: float | None) -> "aiohttp.ClientResponse":
        """Send, and once more where the server hung up without a word; see `HttpxTransport`."""
        session = self._ready()
        import aiohttp  # noqa: PLC0415 (loaded already)

        longest_s = timeouts.connect_s + timeouts.first_byte_s
        wait_s = _shorter(longest_s, ends)
        try:
            async with asyncio.timeout(wait_s):
                try:
                    return await self._ask(session, call, timeouts)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                    return await self._ask(session, call, timeouts)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ClientError):
                raise translate(error, call.where) from error
            phase: TimeoutPhase = "first_byte" if wait_s == longest_s else "total"
            raise ProviderTimeoutError(call.where, "it did not answer in time", phase=phase) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translate(error, call.where) from error

    async def _ask(
        self, session: "aiohttp.ClientSession", call: HttpCall, timeouts: Timeouts
    ) -> "aiohttp.ClientResponse":
        import aiohttp  # noqa: PLC0415 (loaded already)

        wait = self._waits.get(timeouts.connect_s)
        if wait is None:
            wait = aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, ceil_threshold=1e9)
            self._waits[timeouts.connect_s] = wait
        scheme, _, rest = call.url.partition("://")
        return await session.request(
            call.method,
            call.url,
            data=call.body or None,
            headers=call.headers,
            allow_redirects=False,
            timeout=wait,
            proxy=self._proxies.of(scheme, rest.partition("/")[0]),
        )

    def _ready(self) -> "aiohttp.ClientSession":
        if self._session is None:
            try:
                import aiohttp  # noqa: PLC0415 (see the module's docstring)
            except ImportError as error:
                raise MissingExtraError("aiohttp", "aiohttp") from error
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections,
                    ssl=True if self._ssl_context is None else self._ssl_context,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_UNWANTED_HEADERS,
                read_bufsize=_BUFFER_BYTES,
            )
        return self._session


class _AiohttpReply(HttpReply):
    __slots__ = ("_between_s", "_ends", "_response")

    def __init__(
        self,
        response: "aiohttp.ClientResponse",
        where: str,
        limit_bytes: int,
        between_s: float,
        ends: float | None,
    ) -> None:
        super().__init__(where, limit_bytes)
        self._response = response
        self._between_s = between_s
        self._ends = ends
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

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

        content = self._response.content
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
