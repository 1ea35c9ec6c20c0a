"""When to ask again: the curve of the waits, and the wait that a provider asks for in its own words.

Pure: chance and time are arguments. Which route is asked next is `routing`'s to say, and `router` does the waiting.
"""

import re

import msgspec

_DURATION = r"\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b"
_IN_WORDS = re.compile(rf"(?:try again|retry)(?:ing)?\s+(?:in|after)\s+((?:{_DURATION}\s*)+)", re.IGNORECASE)
_IN_WORDS_JOINED = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)", re.IGNORECASE
)
_IN_A_FIELD = re.compile(
    r'"retry_?(?:delay|after)(?P<unit>_?ms|_?s|_?seconds)?"\s*:\s*"?(?P<count>\d+(?:\.\d+)?)(?P<mark>ms|s)?"?',
    re.IGNORECASE,
)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|millisecond|s|m|h)", re.IGNORECASE)
_UNIT_S = {"ms": 0.001, "millisecond": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_LONGEST_BODY = 65_536


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a route is asked for one request, and how long is waited in between."""

    attempts: int = 3
    """For each route; 1: no route is asked twice."""
    base_s: float = 0.5
    """The first wait."""
    factor: float = 2.0
    """By which each further wait of a route is longer."""
    max_s: float = 30.0
    """The longest wait of the curve."""
    jitter: float = 1.0
    """The part of a wait that is left to chance, 0 to 1, so that callers who failed together do not return together."""
    longest_wait_s: float = 60.0
    """Who would have to wait longer for every route, whoever asks for it, is told so instead."""


def backoff_s(policy: RetryPolicy, failures: int, chance: float) -> float:
    """The seconds to wait after so many failures of a route.

    Args:
        policy: The curve.
        failures: How often the route has failed for this request; 1 or more.
        chance: A random number, 0 to 1.
    """
    # The exponent is bounded before the power is taken: a float overflows at some 1,000 failures.
    longest = min(policy.max_s, policy.base_s * policy.factor ** min(failures - 1, 64))
    return longest * (1.0 - policy.jitter * (1.0 - chance))


def hinted_wait_s(body: bytes | str) -> float | None:
    """The seconds to wait that the body of an error names, or None.

    Seen in November 2026: Gemini's `"retryDelay": "34.07s"`, OpenAI's and Groq's "Please try again in 6m0s" (or
    "120ms", "7.66s"), Azure's "Please retry after 26 seconds", and fields such as `"retry_after": 12`.
    """
    text = body if isinstance(body, str) else body[:_LONGEST_BODY].decode("utf-8", "replace")
    field = _IN_A_FIELD.search(text)
    if field:
        unit = (field["mark"] or field["unit"] or "s").lower().strip("_")
        return float(field["count"]) * _UNIT_S["ms" if unit == "ms" else "s"]
    words = _IN_WORDS_JOINED.search(text) or _IN_WORDS.search(text)
    if words is None:
        return None
    return sum(float(count) * _UNIT_S[unit.lower()] for count, unit in _PIECE.findall(words[1]))
