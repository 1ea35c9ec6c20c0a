"""One table from what a provider says went wrong to our errors: pure, shared by HTTP replies, by error objects inside
a stream and by the local engine.
"""

import contextlib
import re
from collections.abc import Mapping
from typing import cast

import msgspec

from agent_core.errors import ContextTooLongError, ModelError
from agent_gateway.errors import (
    CredentialsError,
    ProviderRefusedError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitedError,
    UnknownRemoteModelError,
)
from agent_gateway.retry import hinted_wait_s

_LONGEST_REASON = 600
_UNAVAILABLE = frozenset({408, 409, 425, 429, 498, 499, 529})
"""Besides every status from 500 up. 498 is Groq's capacity, 529 Anthropic's overload."""
_REFUSED = frozenset({400, 413, 422})
"""The statuses under which a prompt that is too long is told of; 429 counts tokens too, but per minute."""
_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
)
_CONTEXT_WORDS = re.compile(
    r"context (?:length|size|window)|too many tokens|maximum.{0,20}tokens|prompt is too long", re.IGNORECASE
)
_UNWRITABLE = "empty grammar stack"
"""llama.cpp, where a grammar asks for a character, such as most control characters, that is not in the vocabulary."""
_LIMIT = re.compile(
    r"(?:context (?:length|window|size) (?:is|of)|context size \(|limit of|maximum of|allowed \(|tokens >)\s*(\d[\d,]*)",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"(\d[\d,]*)\s*(?:input )?tokens|token count \((\d+)\)", re.IGNORECASE)
_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "insufficient_balance"}
)
"""Codes and types under which waiting does not help."""
_TYPES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "api_error": 500,
    "timeout_error": 504,
    "request_too_large": 413,
    "billing_error": 402,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "INVALID_ARGUMENT": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
}
"""Error types and codes inside a reply of status 200 -> the status that they would have had."""


class Secret:
    """A key that is to be found in what a server says, and shows itself nowhere."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret()"

    def out_of(self, text: str) -> str:
        """`text` without the key: a server may quote it."""
        return text.replace(self._value, "[the key]") if self._value else text


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked, as far as an error message may say it."""

    where: str
    """Such as `openai:gpt-5 at https://api.openai.com/v1`; never a key."""
    model: str
    key_setting: str = "api_key"
    context_tokens: int = 0
    secret: Secret = Secret()


class _ErrorBody(msgspec.Struct):
    message: str = ""
    type: str = ""
    code: str = ""
    status: int | None = None
    tokens: int | None = None
    limit: int | None = None


def failure(
    target: Target,
    body: bytes | str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    now: float = 0.0,
) -> ModelError:
    """The error that `body` tells of, from an HTTP reply (`status`, lower-case `headers`) or out of a stream.

    `now` in seconds since the epoch is needed only for a `Retry-After` that is a date.
    """
    said = _read(body)
    said.message = target.secret.out_of(said.message)
    reason = _shorten(said.message) or f"HTTP status {status}"
    if (status or 400) in _REFUSED and _is_context(said):
        return _too_long(target, said)
    if _UNWRITABLE in said.message:
        return ProviderRefusedError(target.where, "no token of the model begins what its output is held to")
    if status is None:
        status = said.status or _TYPES.get(said.code) or _TYPES.get(said.type) or 500
    match status:
        case 401 | 403:
            return CredentialsError(target.where, reason, setting=target.key_setting, status=status)
        case 404:
            reason = f"{reason}; check the model's name and the base URL"
            return UnknownRemoteModelError(target.where, reason, status=status)
        case 402 | 429 if status == 402 or {said.code, said.type} & _NO_MONEY:
            return QuotaExhaustedError(target.where, reason, status=status)
        case _ if status in _UNAVAILABLE or status >= 500:
            wait = retry_after_s(headers or {}, now)
            wait = hinted_wait_s(body) if wait is None else wait
            kind = RateLimitedError if status == 429 else ProviderUnavailableError
            return kind(target.where, reason, status=status, retry_after_s=wait)
        case _ if 300 <= status < 400:
            goal = (headers or {}).get("location", "elsewhere").partition("?")[0]
            reason = f"it redirects to {goal}; if you trust that, set it as the base URL"
            return ProviderRefusedError(target.where, reason, status=status)
        case _:
            return ProviderRefusedError(target.where, reason, status=status)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait that `retry-after-ms` or `retry-after` ask for (RFC 9110, 10.2.3), or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1_000)
        text = headers.get("retry-after", "")
        if not text:
            return None
        if text.replace(".", "", 1).isdigit():
            return float(text)
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 (15 ms for a header that is hardly ever a date)

        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _read(body: bytes | str) -> _ErrorBody:
    """The error in `body`, whichever of the shapes it has: `{"error": {...}}`, `{"error": "text"}`,
    `{"message": ...}`, `{"detail": ...}`, a list around one of them, or plain text.
    """
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    said = _fields(text)
    if said is None:
        return _ErrorBody(message=text)
    inner = said.get("error")
    if isinstance(inner, str):
        return _ErrorBody(message=inner)
    if isinstance(inner, dict):
        said = cast("dict[str, object]", inner)
    message = said.get("message") or said.get("detail") or said.get("error") or text
    code = said.get("code")
    return _ErrorBody(
        message=str(message),
        type=str(said.get("type") or said.get("status") or ""),
        code=str(code or ""),
        status=code if isinstance(code, int) and 300 <= code < 600 else None,
        tokens=_whole(said.get("n_prompt_tokens")),
        limit=_whole(said.get("n_ctx")),
    )


def _fields(text: str) -> dict[str, object] | None:
    """The JSON object in `text`, bare or as the first of a list (Gemini's servers), or None."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(text, type=dict[str, object])
    with contextlib.suppress(msgspec.DecodeError, IndexError):
        return msgspec.json.decode(text, type=list[dict[str, object]])[0]
    return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _is_context(said: _ErrorBody) -> bool:
    if {said.code, said.type} & _CONTEXT_CODES:
        return True
    return _CONTEXT_WORDS.search(said.message) is not None and _COUNTS.search(said.message) is not None


def _too_long(target: Target, said: _ErrorBody) -> ContextTooLongError:
    """Its numbers are the provider's where it gave them, else the profile's and the least it can have been."""
    found = _LIMIT.search(said.message)
    limit = said.limit or (_number(found[1]) if found else target.context_tokens)
    counts = [_number(one or other) for one, other in _COUNTS.findall(said.message)]
    return ContextTooLongError(target.model, said.tokens or max([limit + 1, *counts]), limit)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
