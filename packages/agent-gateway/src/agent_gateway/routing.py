"""Which route is asked next, and when: the decisions of a router. Pure: time is an argument, nothing waits here.

Two rules. First fall back, then back off: as long as any route may be asked now, it is; only when none may is the
earliest waited for. And a route that said that this request is not for it is not asked again for it.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias, assert_never, cast

import msgspec

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.errors import ContextTooLongError, ModelError, ModelRefusedError, ModelUnavailableError
from agent_core.json_types import JsonObject
from agent_core.messages import File, Image, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolResult
from agent_gateway.errors import (
    BudgetExceededError,
    ConstraintUnsupportedError,
    CredentialsError,
    DeadlineExceededError,
    RateLimitedError,
    RoutesExhaustedError,
    UnknownPriceError,
    UnknownRemoteModelError,
)

_PAYMENT_REQUIRED, _TOO_MANY_REQUESTS = 402, 429
_CHARS_PER_TOKEN = 3
"""English has four, code and other languages fewer: an estimate that is used as a limit must not be too low."""
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_IMAGE = 1_600
"""About the most that one picture is counted as (Anthropic's page on vision, read November 2026)."""
_FILE_BYTES_PER_TOKEN = 20
_encoder = msgspec.json.Encoder(enc_hook=lambda value: dict(cast("JsonObject", value)))
"""Arguments may be any mapping; msgspec writes dictionaries."""


class Verdict(StrEnum):
    """What a failure says of the other tries."""

    LATER = "later"
    """The route may be asked again, after a while; the others now."""
    ELSEWHERE = "elsewhere"
    """Not this route for this request; the others now."""
    NOWHERE = "nowhere"
    """The request itself is wrong, or its time is over."""


_VERDICTS: tuple[tuple[type[ModelError], Verdict], ...] = (
    (DeadlineExceededError, Verdict.NOWHERE),
    (ContextTooLongError, Verdict.ELSEWHERE),  # another may hold more
    (CredentialsError, Verdict.ELSEWHERE),
    (UnknownRemoteModelError, Verdict.ELSEWHERE),
    (ConstraintUnsupportedError, Verdict.ELSEWHERE),
    (BudgetExceededError, Verdict.ELSEWHERE),  # another may be cheaper
    (UnknownPriceError, Verdict.ELSEWHERE),
    (ModelRefusedError, Verdict.NOWHERE),
)
"""The first row that fits; what is merely unavailable goes by `retryable`."""


def verdict(error: ModelError) -> Verdict:
    """What `error` says of the other tries."""
    if getattr(error, "status", None) == _PAYMENT_REQUIRED:
        return Verdict.ELSEWHERE
    for kind, found in _VERDICTS:
        if isinstance(error, kind):
            return found
    return Verdict.LATER if error.retryable else Verdict.ELSEWHERE


def counts_against(error: ModelError) -> bool:
    """Whether a failure says something of the route, for its circuit breaker, rather than of the request.

    A limit that the provider names a wait for does not: that wait is kept to, by all requests.
    """
    if isinstance(error, CredentialsError | UnknownRemoteModelError):
        return True
    if not isinstance(error, ModelUnavailableError) or isinstance(error, DeadlineExceededError):
        return False
    is_limit = isinstance(error, RateLimitedError) or getattr(error, "status", None) == _TOO_MANY_REQUESTS
    return not (is_limit and advice_s(error) is not None)


def advice_s(error: ModelError) -> float | None:
    """The seconds that a provider asks to wait, or None."""
    seconds = getattr(error, "retry_after_s", None)
    return seconds if isinstance(seconds, int | float) and math.isfinite(seconds) else None


class Prospect(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """When one route may be asked, for one request."""

    place: int
    ready_at: float | None
    """Seconds since the epoch; None: when one of its requests has ended; infinity: never."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask the route of this place."""

    place: int


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Wait until then (seconds since the epoch), or until one of the busy routes has room; None: only for that."""

    until: float | None
    busy: tuple[int, ...] = ()


class GiveUp(msgspec.Struct, frozen=True, gc=False):
    """No route can be asked in time; `retry_after_s` is when one could."""

    retry_after_s: float | None = None


Decision: TypeAlias = Ask | Wait | GiveUp


def decide(
    prospects: Sequence[Prospect], *, now: float, deadline: float | None, longest_wait_s: float
) -> Decision:
    """What to do next.

    Args:
        prospects: The routes in the order of preference; those that are out of the question left out.
        now: Seconds since the epoch.
        deadline: The end of the request's time, or None.
        longest_wait_s: No wait is longer.
    """
    earliest = math.inf
    busy: list[int] = []
    for one in prospects:
        if one.ready_at is None:
            busy.append(one.place)
        elif one.ready_at <= now:
            return Ask(one.place)
        else:
            earliest = min(earliest, one.ready_at)
    too_late = earliest > now + longest_wait_s or (deadline is not None and earliest >= deadline)
    if busy:
        return Wait(None if too_late else earliest, tuple(busy))
    if too_late:
        return GiveUp(None if math.isinf(earliest) else earliest - now)
    return Wait(earliest)


def exhausted(errors: Sequence[tuple[str, ModelError]], retry_after_s: float | None) -> ModelError:
    """The error that tells of all of `errors`, by route; the only one itself.

    Where waiting helps with no route, a prompt that is too long is told of before all else, because whoever asks can
    make it shorter; and where every route refused, the first refusal is.
    """
    latest = dict(errors)
    if len(latest) == 1:
        return next(iter(latest.values()))
    found = list(latest.values())
    hopeful = not found or any(verdict(error) is Verdict.LATER for error in found)
    too_long = [error for error in found if isinstance(error, ContextTooLongError)]
    if too_long and not hopeful:
        return max(too_long, key=lambda error: error.limit)
    if found and all(isinstance(error, ModelRefusedError) for error in found):
        return found[0]
    return RoutesExhaustedError(tuple(latest.items()), hopeful=hopeful, retry_after_s=retry_after_s)


def estimated_prompt_tokens(request: ModelRequest) -> int:
    """About how many tokens a prompt has, rather too many than too few; no tokenizer is asked."""
    chars = sum(_chars(part) for message in request.messages for part in message.parts)
    for tool in request.tools:
        chars += len(tool.name) + len(tool.description) + len(_encoder.encode(tool.parameters))
    return chars // _CHARS_PER_TOKEN + len(request.messages) * _TOKENS_PER_MESSAGE


def _chars(part: Part) -> int:
    """How long a part is, or as long as a text of as many tokens would be."""
    match part:
        case Text() | Reasoning():
            return len(part.text)
        case ToolResult():
            return len(part.content) + sum(_chars(one) for one in part.attachments)
        case ToolCall():
            return len(part.name) + len(_encoder.encode(part.arguments))
        case Image():
            return _CHARS_PER_TOKEN * _TOKENS_PER_IMAGE
        case File():
            return _CHARS_PER_TOKEN * max(_TOKENS_PER_IMAGE, len(part.data) // _FILE_BYTES_PER_TOKEN)
        case Opaque():
            return len(_encoder.encode(part.item))
        case _:
            assert_never(part)


def reply_tokens(request: ModelRequest, profile: ModelProfile) -> int:
    """The most tokens that a reply is reckoned to have."""
    return request.max_output_tokens if request.max_output_tokens is not None else profile.reply_tokens
