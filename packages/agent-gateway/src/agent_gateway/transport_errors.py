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
        "aiohttp.ClientError": (Fault.UNREACHABLE, "the request failed"),
        "aiohttp.ClientConnectionError": (Fault.UNREACHABLE, "the connection failed"),
        "aiohttp.ClientOSError": (Fault.BROKEN, "the connection broke"),
        "aiohttp.ClientConnectionResetError": (Fault.BROKEN, "the connection broke while it was asked"),
        "aiohttp.ClientConnectorError": (Fault.UNREACHABLE, "no connection"),
        "aiohttp.ClientConnectorDNSError": (Fault.UNREACHABLE, "no connection: its name leads nowhere"),
        "aiohttp.ClientProxyConnectionError": (Fault.UNREACHABLE, "no connection to the proxy"),
        "aiohttp.ClientHttpProxyError": (Fault.UNREACHABLE, "the proxy did not let the request through"),
        "aiohttp.ClientSSLError": (Fault.UNREACHABLE, "no secure connection"),
        "aiohttp.ClientConnectorSSLError": (Fault.UNREACHABLE, "no secure connection"),
        "aiohttp.ClientConnectorCertificateError": (Fault.CERTIFICATE, ""),
        "aiohttp.ServerConnectionError": (Fault.BROKEN, "the connection broke"),
        "aiohttp.ServerDisconnectedError": (Fault.BROKEN, "the connection broke before it answered"),
        "aiohttp.ServerFingerprintMismatch": (Fault.CERTIFICATE, ""),
        "aiohttp.ServerTimeoutError": (Fault.READ_TIMEOUT, "it did not answer in time"),
        "aiohttp.ConnectionTimeoutError": (Fault.CONNECT_TIMEOUT, "no connection in time"),
        "aiohttp.SocketTimeoutError": (Fault.READ_TIMEOUT, "it fell silent for too long"),
        "aiohttp.ClientPayloadError": (Fault.BROKEN, "the connection broke while it answered"),
        "aiohttp.ClientResponseError": (Fault.BROKEN, "it does not keep to HTTP"),
        "aiohttp.HttpProcessingError": (Fault.BROKEN, "it does not keep to HTTP"),
        "aiohttp.ContentTypeError": (Fault.BUG, ""),
        "aiohttp.TooManyRedirects": (Fault.OURS, "it redirects in circles"),
        "aiohttp.WSServerHandshakeError": (Fault.BUG, ""),
        "aiohttp.WSMessageTypeError": (Fault.BUG, ""),
        "aiohttp.WebSocketError": (Fault.BUG, ""),
        "aiohttp.UploadAbortedError": (Fault.BROKEN, "the connection broke while it was asked"),
        "aiohttp.EofStream": (Fault.BUG, ""),
        "aiohttp.InvalidURL": _OURS_URL,
        "aiohttp.InvalidUrlClientError": _OURS_URL,
        "aiohttp.InvalidUrlRedirectClientError": _OURS_URL,
        "aiohttp.NonHttpUrlClientError": (Fault.OURS, "the base URL must begin with https:// or http://"),
        "aiohttp.NonHttpUrlRedirectClientError": (
            Fault.OURS,
            "the base URL must begin with https:// or http://",
        ),
        "aiohttp.RedirectClientError": (Fault.OURS, "it redirects wrongly"),
        "builtins.TimeoutError": (Fault.READ_TIMEOUT, "it did not answer in time"),
        "builtins.ConnectionError": (Fault.BROKEN, "the connection broke"),
        "builtins.OSError": (Fault.UNREACHABLE, "the network failed"),
        "zlib.error": (Fault.BROKEN, "its reply is compressed wrongly"),
        "builtins.ValueError": (Fault.OURS, "the request breaks HTTP (a line break in the key?)"),
    }
)
"""Every exception class that the clients make public, as `package.Class`, and what the standard library raises."""


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
