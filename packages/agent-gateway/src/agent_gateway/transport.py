"""HTTP: the only importer of httpx, imported at the first request because it takes a fifth of a second.

The port is one method, `Transport.send`. Statuses are the caller's business (`failures`); everything that httpx
raises becomes ours by one table.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import anyio
import msgspec

from agent_core.errors import ModelError
from agent_gateway.errors import ProviderRefusedError, ProviderUnavailableError

if TYPE_CHECKING:
    import httpx

_DRAIN_S = 0.2


class HttpCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    url: str
    where: str
    """Who is asked, for error messages: no key in it."""
    headers: Mapping[str, str]
    body: bytes = b""
    method: Literal["GET", "POST"] = "POST"


class HttpReply(ABC):
    """The head of a reply; its body comes by `chunks`, once."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    @abstractmethod
    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.chunks()])


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
        """Close all connections."""


class HttpxTransport(Transport):
    """The transport over httpx, with a pool of connections."""

    def __init__(
        self, *, connect_timeout_s: float = 10.0, read_timeout_s: float = 120.0, max_connections: int = 100
    ) -> None:
        """`read_timeout_s` is the longest silence between two pieces of a reply, the wait for the first included."""
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_connections = max_connections
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Send `call`; see `Transport`."""
        client = self._ready()
        with _errors_of(call.where):
            request = client.build_request(
                call.method, call.url, headers=dict(call.headers), content=call.body
            )
            response = await self._sent(client, request)
        try:
            yield _HttpxReply(response, call.where)
        finally:
            await response.aclose()

    @staticmethod
    async def _sent(client: "httpx.AsyncClient", request: "httpx.Request") -> "httpx.Response":
        """Send, and once more where the server hung up without a word.

        A server may close an idle connection in the moment in which we use it again (RFC 9112, 9.3.1 and 9.5).
        """
        import httpx  # noqa: PLC0415 (loaded already)

        try:
            return await client.send(request, stream=True)
        except httpx.RemoteProtocolError:
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _ready(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx  # noqa: PLC0415 (see the module's docstring)

            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._read_timeout_s, connect=self._connect_timeout_s),
                limits=httpx.Limits(max_connections=self._max_connections),
            )
        return self._client


class _HttpxReply(HttpReply):
    def __init__(self, response: "httpx.Response", where: str) -> None:
        self._response = response
        self._where = where
        self._chunks: AsyncIterator[bytes] | None = None
        self.status = response.status_code
        self.headers = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. A reader that stops at the format's own end still lets the reply end."""
        chunks = self._response.aiter_bytes()
        with _errors_of(self._where):
            async for chunk in chunks:
                yield chunk


_Fault = Literal["theirs", "ours", "bug"]

HTTPX_ERRORS: Mapping[str, tuple[_Fault, str]] = MappingProxyType(
    {
        # theirs: the provider or the network, worth another try
        "HTTPError": ("theirs", "the request failed"),
        "RequestError": ("theirs", "the request failed"),
        "TransportError": ("theirs", "the connection failed"),
        "TimeoutException": ("theirs", "it did not answer in time"),
        "ConnectTimeout": ("theirs", "no connection in time"),
        "ReadTimeout": ("theirs", "it fell silent for too long"),
        "WriteTimeout": ("theirs", "it did not take the request in time"),
        "PoolTimeout": ("theirs", "all connections are in use"),
        "NetworkError": ("theirs", "the network failed"),
        "ConnectError": ("theirs", "no connection"),
        "ReadError": ("theirs", "the connection broke while it answered"),
        "WriteError": ("theirs", "the connection broke while it was asked"),
        "CloseError": ("theirs", "the connection broke while it was closed"),
        "ProxyError": ("theirs", "the proxy did not let the request through"),
        "ProtocolError": ("theirs", "it does not keep to HTTP"),
        "RemoteProtocolError": ("theirs", "it does not keep to HTTP, or the connection broke"),
        "DecodingError": ("theirs", "its reply is compressed wrongly"),
        "HTTPStatusError": ("theirs", "it answered with an error status"),
        # ours: an address or a header that is wrong in the settings
        "InvalidURL": ("ours", "the base URL is not a URL"),
        "UnsupportedProtocol": ("ours", "the base URL must begin with https:// or http://"),
        "LocalProtocolError": ("ours", "the request breaks HTTP (a line break in the key?)"),
        "TooManyRedirects": ("ours", "it redirects in circles"),
        # bug: this module used httpx wrongly; not caught
        "CookieConflict": ("bug", ""),
        "StreamError": ("bug", ""),
        "StreamConsumed": ("bug", ""),
        "StreamClosed": ("bug", ""),
        "RequestNotRead": ("bug", ""),
        "ResponseNotRead": ("bug", ""),
    }
)
"""Every exception class of httpx by name, so that httpx need not be imported to have the table."""


@contextlib.contextmanager
def _errors_of(where: str) -> Generator[None, None, None]:
    import httpx  # noqa: PLC0415 (loaded already: a request is under way)

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise translate(error, where) from error


def translate(error: Exception, where: str) -> ModelError:
    """Our error for an exception of httpx, by the nearest class that the table knows."""
    name = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in HTTPX_ERRORS), "HTTPError")
    fault, words = HTTPX_ERRORS[name]
    # Never the exception's own text: it may quote a header or the user part of a URL.
    if fault == "ours":
        return ProviderRefusedError(where, words)
    return ProviderUnavailableError(where, f"{words} ({type(error).__name__})")


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of a reply that has said all, for a moment at most, so that its connection can be used again."""
    with anyio.move_on_after(_DRAIN_S):
        async for _ in chunks:
            pass
