"""HTTP for skills: the only importer of httpx in this package, loaded at the first request.

Follows no redirects, reads no proxy from the environment, keeps no cookies and decompresses nothing: whoever asks
decides about all of these. Does not know which addresses may be reached (`web.addresses` does).
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from typing import TYPE_CHECKING

import msgspec

from agent_skills.errors import SkillError

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes of a whole reply that are read where nothing else is said."""


class HttpFailedError(SkillError):
    """A request that got no reply, or a reply that broke off. The text names the host, never a header."""

    def __init__(self, where: str, problem: str, *, may_pass: bool = True) -> None:
        """`may_pass`: the same request may succeed if made again."""
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem
        self.may_pass = may_pass


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    address: str = ""
    """The IP address to connect to, so that nobody resolves the name a second time. Empty: resolve it."""


class HttpReply:
    """The head of a reply; its body comes once, by `chunks` or `read`, as it was sent: compressed if it is."""

    def __init__(self, response: "httpx.Response", where: str) -> None:
        self._response = response
        self._where = where
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        """Looked up whatever the case of a name; several of one name are joined by `, `."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            HttpFailedError: it broke off, or fell silent for too long.
        """
        with _errors_of(self._where):
            async for chunk in self._response.aiter_raw():
                yield chunk

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole body.

        Raises:
            HttpFailedError: it is larger than `max_bytes`, or broke off.
        """
        parts: list[bytes] = []
        size_bytes = 0
        async for chunk in self.chunks():
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise HttpFailedError(self._where, f"the reply is over {max_bytes:,} bytes", may_pass=False)
            parts.append(chunk)
        return b"".join(parts)


class HttpClient:
    """Sends requests over a pool of connections."""

    def __init__(
        self,
        *,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
        max_connections: int = 20,
        keep_alive: bool = True,
    ) -> None:
        """`read_timeout_s` is the longest silence. `keep_alive` must be off where requests give an `address`: a
        connection belongs to an address there, and another host of that address must not get it.
        """
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def send(
        self, request: HttpRequest, *, read_timeout_s: float | None = None
    ) -> AsyncGenerator[HttpReply]:
        """Send; entering waits for the head of the reply, leaving frees the connection.

        Raises:
            HttpFailedError: no connection, no reply in time, or what came is no HTTP.
        """
        client = self._ready()
        import httpx  # noqa: PLC0415 (loaded by `_ready`)

        with _errors_of(_where(request.url)):
            url = httpx.URL(request.url)
            where = url.netloc.decode()
            headers = {"accept-encoding": "identity", **request.headers}
            extensions: dict[str, object] = {}
            if request.address:
                headers["host"] = where
                extensions["sni_hostname"] = url.host
                url = url.copy_with(host=request.address)
            timeout_s = self._read_timeout_s if read_timeout_s is None else read_timeout_s
            outgoing = client.build_request(
                request.method,
                url,
                headers=headers,
                content=request.body or None,
                extensions=extensions,
                timeout=httpx.Timeout(timeout_s, connect=self._connect_timeout_s),
            )
            response = await client.send(outgoing, stream=True)
        try:
            yield HttpReply(response, where)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _ready(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx  # noqa: PLC0415 (see the module's docstring)

            self._client = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(
                    max_connections=self._max_connections,
                    max_keepalive_connections=None if self._keep_alive else 0,
                ),
            )
            self._client.headers = httpx.Headers({"user-agent": "agent-skills"})
        return self._client


def _where(url: str) -> str:
    """The host of a URL, for messages: the rest may hold secrets."""
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return host or "the address"


@contextlib.contextmanager
def _errors_of(where: str) -> Generator[None]:
    import httpx  # noqa: PLC0415 (loaded already: a request is under way)

    try:
        yield
    except httpx.TimeoutException as error:
        raise HttpFailedError(where, f"it did not answer in time ({type(error).__name__})") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        problem = f"the address or a header is wrong ({type(error).__name__})"
        raise HttpFailedError(where, problem, may_pass=False) from error
    except httpx.ConnectError as error:
        raise HttpFailedError(where, "no connection could be made") from error
    except httpx.HTTPError as error:
        # Never the exception's own text: it may quote a header.
        raise HttpFailedError(where, f"the exchange broke off ({type(error).__name__})") from error
