"""Where a URL leads, and a `Connection` to there: by name, encrypted, through a proxy. What asyncio has is used: it
looks names up, tries several addresses at once and checks certificates.
"""

import asyncio
import ssl
from base64 import b64encode
from functools import cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from agent_gateway.connection import Connection
from agent_gateway.errors import ProviderRefusedError, ProviderUnavailableError
from agent_gateway.proxies import Proxies

_NEXT_ADDRESS_S = 0.25
"""When a second address is tried beside the first (RFC 8305, 5)."""
_LONGEST_S = 60.0
"""For the answer of a proxy; who dials sees to an end before that."""
_PORTS = {"http": 80, "https": 443}
_WRITTEN_AS_IT_IS = "%/:?#[]@!$&'()*+,;=~"


class Host(NamedTuple):
    """A server, or a proxy."""

    name: str
    port: int
    is_secure: bool
    authorization: str = ""
    """What a proxy is told of who asks (RFC 7617)."""


class Way(NamedTuple):
    """How a server is reached."""

    host: Host
    proxy: Host | None

    @property
    def is_tunnel(self) -> bool:
        """Whether the proxy is only to pass on what it cannot read."""
        return self.proxy is not None and self.host.is_secure


class Place(NamedTuple):
    """Where a URL leads."""

    way: Way
    target: str
    """What the request line says; with the whole URL where a proxy reads it (RFC 9112, 3.2.2)."""
    fields: str
    """The fields of the head that belong to the way: `Host`, and who asks the proxy."""


def place_of(url: str, where: str, proxies: Proxies) -> Place:
    """Read a URL; `where` is who is asked, for errors.

    Raises:
        ProviderRefusedError: it is none, or not one of HTTP; the same for its proxy's.
    """
    parts, host = _read(url, where, "the base URL")
    name = parts.netloc.rpartition("@")[2]
    name = name if name.isascii() else name.encode("idna").decode()
    proxy_url = proxies.of(parts.scheme, name)
    proxy = _read(proxy_url, where, "the proxy's URL")[1] if proxy_url else None
    target = quote(parts.path or "/", safe=_WRITTEN_AS_IT_IS)
    if parts.query:
        target += "?" + quote(parts.query, safe=_WRITTEN_AS_IT_IS)
    fields = f"Host: {name}\r\n"
    if proxy is not None and not host.is_secure:
        target = f"http://{name}{target}"
        fields += _authorization(proxy)
    return Place(Way(host, proxy), target, fields)


async def dial(way: Way, where: str, context: ssl.SSLContext | None) -> Connection:
    """A connection; it takes as long as it takes. `context` replaces the system's list of authorities.

    Raises:
        ProviderUnavailableError: the proxy did not let us through.
        TimeoutError, OSError: there is no connection.
    """
    connection = await _connected(way.proxy or way.host, context)
    if not way.is_tunnel:
        return connection
    try:
        return await _through(connection, way, where, context)
    except BaseException:
        connection.close()
        raise


async def _connected(host: Host, context: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    encryption = (context or _default_context()) if host.is_secure else None
    if isinstance(loop, asyncio.BaseEventLoop):
        _, connection = await loop.create_connection(
            Connection, host.name, host.port, ssl=encryption, happy_eyeballs_delay=_NEXT_ADDRESS_S
        )
    else:  # uvloop tries one address after the other
        _, connection = await loop.create_connection(Connection, host.name, host.port, ssl=encryption)
    return connection


async def _through(outer: Connection, way: Way, where: str, context: ssl.SSLContext | None) -> Connection:
    """The connection within a tunnel through a proxy (RFC 9110, 9.3.6)."""
    host, proxy = way
    assert proxy is not None  # noqa: S101 (for the checkers: there is a tunnel)
    name = f"[{host.name}]" if ":" in host.name else host.name
    lines = f"CONNECT {name}:{host.port} HTTP/1.1\r\nHost: {name}:{host.port}\r\n{_authorization(proxy)}\r\n"
    outer.send(lines.encode(), b"")
    await outer.head(_LONGEST_S)
    if not 200 <= outer.status < 300:
        reason = f"the proxy did not let the request through (HTTP status {outer.status})"
        raise ProviderUnavailableError(where, reason)
    inner = Connection()
    inner.connection_made(
        outer.transport
    )  # until there is a better one: to close, should the server speak unasked
    transport = await asyncio.get_running_loop().start_tls(
        outer.transport, inner, context or _default_context(), server_hostname=host.name
    )
    if transport is None:
        raise ConnectionResetError
    inner.connection_made(transport)
    return inner


def _read(url: str, where: str, what: str) -> tuple[SplitResult, Host]:
    try:
        parts = urlsplit(url)
        name, port, user = parts.hostname, parts.port, parts.username
        (name or "").encode("idna")  # as it is looked up
    except ValueError:
        raise ProviderRefusedError(where, f"{what} is not a URL") from None
    if parts.scheme not in _PORTS:
        raise ProviderRefusedError(where, f"{what} must begin with https:// or http://")
    if not name:
        raise ProviderRefusedError(where, f"{what} names no host")
    authorization = ""
    if user is not None:
        user = f"{unquote(user)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(user.encode()).decode()
    return parts, Host(name, port or _PORTS[parts.scheme], parts.scheme == "https", authorization)


def _authorization(proxy: Host) -> str:
    return f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""


@cache
def _default_context() -> ssl.SSLContext:
    """One for all: it takes 20 ms to make and a megabyte to keep."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
