"""What must not be written down: keys and the names of accounts, in addresses and in bodies. Pure.

What is removed is replaced by as many letters, so that lengths and the cuts between the pieces of a stream stay true.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_HARMLESS_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "user-agent",
        "host",
        "connection",
        "anthropic-version",
    }
)
_KEPT_REPLY_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})
_KEPT_REPLY_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")
_SECRET_PARAMETERS = re.compile(r"key|token|secret|sig|password|auth|credential", re.IGNORECASE)
_SCHEMES = re.compile(r"^(?:bearer|basic|token|key)\s+", re.IGNORECASE)
_SHORTEST_SECRET = 6
_PATTERNS = (
    re.compile(rb"\b(?:sk|pk|rk|gsk|xai|hf|pa|nvapi|fw|csk|co)[-_][A-Za-z0-9_-]{16,}"),
    re.compile(rb"\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(rb"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    re.compile(rb"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(rb"\b(?:org|proj|acct|user)[-_][A-Za-z0-9]{12,}"),
)
"""Keys by the forms that providers give them, tokens in three parts, and ids of accounts, which errors quote."""


def secrets_in(url: str, headers: Mapping[str, str]) -> frozenset[str]:
    """The secrets that a request carries: every header that is not known to be harmless, and parts of the address."""
    found = {
        _SCHEMES.sub("", value) for name, value in headers.items() if name.lower() not in _HARMLESS_HEADERS
    }
    parts = urlsplit(url)
    found |= {value for name, value in parse_qsl(parts.query) if _SECRET_PARAMETERS.search(name)}
    found |= {text for text in (parts.username, parts.password) if text}
    return frozenset(secret for secret in found if len(secret) >= _SHORTEST_SECRET)


def clean_url(url: str) -> str:
    """An address without its user part, and with what its parameters keep secret removed."""
    parts = urlsplit(url)
    query = [
        (name, _blank(value) if _SECRET_PARAMETERS.search(name) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query), ""))


def clean_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a reply that a client goes by; cookies, ids and whatever else there is are left out."""
    return {
        name: value
        for name, value in headers.items()
        if name in _KEPT_REPLY_HEADERS or name.startswith(_KEPT_REPLY_PREFIXES)
    }


def clean_body(body: bytes, secrets: Iterable[str]) -> bytes:
    """A body of the same length without these secrets, and without what looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        body = body.replace(secret.encode(), b"X" * len(secret.encode()))
    for pattern in _PATTERNS:
        body = pattern.sub(lambda found: b"X" * len(found[0]), body)
    return body


def _blank(text: str) -> str:
    return "X" * len(text)
