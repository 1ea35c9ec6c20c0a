"""Requests to the web that cannot be led inside: every hop is resolved once, all answers are checked, and the address
that was checked is the one that is connected to.

No proxies of the environment, no cookies, no credentials but those that are given for one origin. Bounds on size (also
once decompressed), on time and on hops hold whatever a server does.
"""

import zlib
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

import anyio
import anyio.lowlevel
import msgspec

from agent_skills.errors import SkillFailedError
from agent_skills.http import HttpClient, HttpFailedError, HttpReply, HttpRequest
from agent_skills.web.hosts import HostGuard, HostRefusedError, HostUnknownError, Resolve

MAX_URL_CHARS = 4_000
_DROPPED = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_CHUNK_BYTES = 64 * 1024


class WebRefusedError(SkillFailedError):
    """A request that is not made: where it leads is not public, or its address is no plain one."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url[:200]!r} is not fetched: {reason}", code="address_refused")


class WebFailedError(SkillFailedError):
    """A request that was made, and came to nothing."""

    def __init__(self, url: str, reason: str, *, code: str = "unreachable", retryable: bool = False) -> None:
        super().__init__(f"{url[:200]!r} could not be fetched: {reason}", code=code, retryable=retryable)


class WebLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may reach, and cost."""

    hosts: tuple[str, ...] = ()
    """The only hosts, such as `example.org` or `*.example.org`; empty: all public ones."""
    networks: tuple[str, ...] = ()
    """Networks that may be reached although they are not public, such as `10.1.0.0/16`."""
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 5_000_000
    """Bytes of a reply, decompressed; more is an error."""
    timeout_s: float = 15.0
    """Seconds for all hops together, to the last byte."""
    max_redirects: int = 5


class WebReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back at the end of all hops."""

    url: str
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class GuardedWeb:
    """The web behind the guard."""

    def __init__(self, limits: WebLimits | None = None, *, resolve: Resolve | None = None) -> None:
        """`resolve` finds addresses; the system's resolver if none is given.

        Raises:
            ValueError: one of the networks is none.
        """
        self.limits = limits or WebLimits()
        self._guard = HostGuard(
            hosts=self.limits.hosts,
            networks=self.limits.networks,
            ports=self.limits.ports,
            resolve=resolve,
        )
        self._client = HttpClient(read_timeout_s=self.limits.timeout_s, keep_alive=False)

    async def send(self, request: HttpRequest) -> WebReply:
        """Make a request, follow redirects and read the reply.

        Raises:
            WebRefusedError: it leads, or is led, where it must not.
            WebFailedError: no reply, one that is too large, too slow or compressed wrongly, or too many redirects.
        """
        try:
            with anyio.fail_after(self.limits.timeout_s):
                return await self._send(request)
        except TimeoutError:
            reason = f"it took longer than {self.limits.timeout_s:g} s"
            raise WebFailedError(request.url, reason, code="timeout", retryable=True) from None

    async def check(self, url: str) -> None:
        """Look where a URL leads now, and ask nothing there.

        Raises:
            WebRefusedError: it leads where it must not.
            WebFailedError: there is no such host.
        """
        await self._address(self._check(url))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send(self, request: HttpRequest) -> WebReply:
        for _ in range(self.limits.max_redirects + 1):
            request = msgspec.structs.replace(request, url=self._check(request.url))
            pinned = msgspec.structs.replace(request, address=await self._address(request.url))
            try:
                async with self._client.send(pinned) as reply:
                    location = reply.headers.get("location")
                    if reply.status in {301, 302, 303, 307, 308} and location:
                        request = _redirected(request, reply.status, location)
                        continue
                    headers = {name.lower(): value for name, value in reply.headers.items()}
                    body = await self._read(request.url, reply)
                    return WebReply(url=request.url, status=reply.status, headers=headers, body=body)
            except HttpFailedError as error:
                raise WebFailedError(request.url, error.problem, retryable=error.may_pass) from error
        reason = f"it was redirected more than {self.limits.max_redirects} times"
        raise WebFailedError(request.url, reason, code="redirects")

    def _check(self, url: str) -> str:
        """Hold that a URL is a plain one; returns it with the host as it is asked for, and without a fragment."""
        if len(url) > MAX_URL_CHARS or any(char <= " " or char in "\\\x7f" for char in url):
            raise WebRefusedError(url, "an address has no spaces, control characters or backslashes")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise WebRefusedError(url, "it is no address") from None
        if parts.scheme not in {"http", "https"}:
            raise WebRefusedError(url, "it must begin with https:// or http://")
        if "@" in parts.netloc:
            raise WebRefusedError(url, "an address must not hold a user or a password")
        try:
            host = self._guard.check(parts.hostname or "", _port(parts))
        except HostRefusedError as error:
            raise WebRefusedError(url, str(error)) from None
        netloc = f"[{host}]" if ":" in host else host
        return parts._replace(netloc=netloc if port is None else f"{netloc}:{port}", fragment="").geturl()

    async def _address(self, url: str) -> str:
        """The address to connect to; all that the name has must be allowed."""
        parts = urlsplit(url)
        try:
            return await self._guard.address(parts.hostname or "", _port(parts))
        except HostRefusedError as error:
            raise WebRefusedError(url, str(error)) from None
        except HostUnknownError as error:
            raise WebFailedError(url, str(error), code="not_found") from None

    async def _read(self, url: str, reply: HttpReply) -> bytes:
        encoding = reply.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise WebFailedError(
                url, f"it is compressed with {encoding[:40]!r}, which was not asked for", code="encoding"
            )
        unpack = None if encoding in {"", "identity"} else _Unpacker(url)
        body = bytearray()
        async for chunk in reply.chunks():
            pieces = [chunk] if unpack is None else unpack.pieces(chunk)
            for piece in pieces:
                body += piece
                if len(body) > self.limits.max_bytes:
                    reason = f"it has more than {self.limits.max_bytes:,} bytes"
                    raise WebFailedError(url, reason, code="too_large")
                if unpack is not None:
                    await anyio.lowlevel.checkpoint()  # the deadline holds while a bomb unfolds
        return bytes(body)


class _Unpacker:
    """Decompresses in small pieces, so that a small chunk cannot become a large one in memory."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its head

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """The decompressed pieces of a chunk; what follows the end of the stream is dropped."""
        try:
            while chunk and not self._inflate.eof:
                yield self._inflate.decompress(chunk, _CHUNK_BYTES)
                chunk = self._inflate.unconsumed_tail
        except zlib.error:
            raise WebFailedError(self._url, "it is compressed wrongly", code="encoding") from None


def _redirected(request: HttpRequest, status: int, location: str) -> HttpRequest:
    """The next request. What was meant for one origin is left out at another; only 307 and 308 keep the body."""
    url = urljoin(request.url, location)
    is_same = urlsplit(url)[:2] == urlsplit(request.url)[:2]
    headers = {
        name: value for name, value in request.headers.items() if is_same or name.lower() not in _DROPPED
    }
    if status in {307, 308} and (is_same or not request.body):
        return HttpRequest(method=request.method, url=url, headers=headers, body=request.body)
    method = request.method if request.method in {"GET", "HEAD"} else "GET"
    return HttpRequest(method=method, url=url, headers=headers)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
