"""One table from what an HTTP client raises to our errors. Imports no client: classes are looked up by name."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from agent_core.errors import ModelError
from agent_gateway.errors import (
    BrokenReplyError,
    CertificateError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)


class NotHttpError(ConnectionError):
    """What came by a connection of ours is no reply of HTTP/1.1, or more than one."""


class HungUpError(ConnectionError):
    """The server closed a connection of ours without a word to the request."""


class Fault(StrEnum):
    """What a client's exception means for the caller."""

    UNREACHABLE = "unreachable"
    """No connection, or it failed before a reply began: worth another try."""
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    BROKEN = "broken"
    """The connection broke, or what came is not HTTP."""
    CERTIFICATE = "certificate"
    OURS = "ours"
    """An address or a header that is wrong in the settings."""
    BUG = "bug"
    """The transport used its client wrongly: not caught."""


_OURS_URL = (Fault.OURS, "the base URL is not a URL")

ERRORS: Mapping[str, tuple[Fault, str]] = MappingProxyType(
    {
        "httpx.HTTPError": (Fault.UNREACHABLE, "the request failed"),
        "httpx.RequestError": (Fault.UNREACHABLE, "the request failed"),
        "httpx.TransportError": (Fault.UNREACHABLE, "the connection failed"),
        "httpx.TimeoutException": (Fault.READ_TIMEOUT, "it did not answer in time"),
        "httpx.ConnectTimeout": (Fault.CONNECT_TIMEOUT, "no connection in time"),
        "httpx.ReadTimeout": (Fault.READ_TIMEOUT, "it fell silent for too long"),
        "httpx.WriteTimeout": (Fault.READ_TIMEOUT, "it did not take the request in time"),
        "httpx.PoolTimeout": (Fault.CONNECT_TIMEOUT, "all connections are in use"),
        "httpx.NetworkError": (Fault.UNREACHABLE, "the network failed"),
        "httpx.ConnectError": (Fault.UNREACHABLE, "no connection"),
        "httpx.ReadError": (Fault.BROKEN, "the connection broke while it answered"),
        "httpx.WriteError": (Fault.BROKEN, "the connection broke while it was asked"),
        "httpx.CloseError": (Fault.BROKEN, "the connection broke while it was closed"),
        "httpx.ProxyError": (Fault.UNREACHABLE, "the proxy did not let the request through"),
        "httpx.ProtocolError": (Fault.BROKEN, "it does not keep to HTTP"),
        "httpx.RemoteProtocolError": (Fault.BROKEN, "it does not keep to HTTP, or the connection broke"),
        "httpx.DecodingError": (Fault.BROKEN, "its reply is compressed wrongly"),
        "httpx.HTTPStatusError": (Fault.UNREACHABLE, "it answered with an error status"),
        "httpx.InvalidURL": _OURS_URL,
        "httpx.UnsupportedProtocol": (Fault.OURS, "the base URL must begin with https:// or http://"),
        "httpx.LocalProtocolError": (Fault.OURS, "the request breaks HTTP (a line break in the key?)"),
        "httpx.TooManyRedirects": (Fault.OURS, "it redirects in circles"),
        "httpx.CookieConflict": (Fault.BUG, ""),
        "httpx.StreamError": (Fault.BUG, ""),
        "httpx.StreamConsumed": (Fault.BUG, ""),
        "httpx.StreamClosed": (Fault.BUG, ""),
        "httpx.RequestNotRead": (Fault.BUG, ""),
        "httpx.ResponseNotRead": (Fault.BUG, ""),
        "agent_gateway.NotHttpError": (Fault.BROKEN, "it does not keep to HTTP"),
        "agent_gateway.HungUpError": (Fault.BROKEN, "the connection broke before it answered"),
        "builtins.TimeoutError": (Fault.READ_TIMEOUT, "it did not answer in time"),
        "builtins.ConnectionRefusedError": (Fault.UNREACHABLE, "no connection"),
        "builtins.ConnectionError": (Fault.BROKEN, "the connection broke"),
        "builtins.OSError": (Fault.UNREACHABLE, "the network failed"),
        "socket.gaierror": (Fault.UNREACHABLE, "no connection: its name leads nowhere"),
        "ssl.SSLError": (Fault.UNREACHABLE, "no secure connection"),
        "zlib.error": (Fault.BROKEN, "its reply is compressed wrongly"),
        "builtins.ValueError": (Fault.OURS, "the request breaks HTTP (a line break in the key?)"),
    }
)
"""Every exception class that httpx makes public, as `package.Class`, ours, and what the standard library raises."""


def translate(error: Exception, where: str, *, began: bool = False) -> ModelError:
    """Our error for a client's exception, by the nearest class that the table knows.

    `began`: the head of the reply was there. Never the exception's own text: it may quote a header or the user part
    of a URL.
    """
    if _is_certificate(error):
        return CertificateError(where)
    fault, words = next(
        (ERRORS[name] for name in map(_name, type(error).__mro__) if name in ERRORS),
        (Fault.UNREACHABLE, "the request failed"),
    )
    reason = f"{words} ({type(error).__name__})"
    match fault:
        case Fault.OURS | Fault.BUG:
            return ProviderRefusedError(where, words)
        case Fault.CERTIFICATE:
            return CertificateError(where)
        case Fault.CONNECT_TIMEOUT:
            return ProviderTimeoutError(where, words, phase="connect")
        case Fault.READ_TIMEOUT:
            return ProviderTimeoutError(where, words, phase="between" if began else "first_byte")
        case Fault.BROKEN if began:
            return BrokenReplyError(where, reason)
        case Fault.BROKEN | Fault.UNREACHABLE:
            return ProviderUnavailableError(where, reason)


def _name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _is_certificate(error: BaseException | None) -> bool:
    """Whether a certificate that could not be verified is behind `error`, however deep."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if type(error).__name__ == "SSLCertVerificationError":  # by name: loading ssl takes 10 ms
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
