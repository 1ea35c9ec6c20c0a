"""A circuit breaker: a route that keeps failing is left alone for a while, then tried with one request.

Two rules: what may follow is in `TRANSITIONS` alone, and nothing here reads a clock. A call that began before the
breaker opened may still end while it is open; that changes nothing, which is why `OPEN` has a row for it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class BreakerState(StrEnum):
    """Whether a route may be asked."""

    CLOSED = "closed"
    """As often as one likes."""
    OPEN = "open"
    """Not before some time has passed."""
    HALF_OPEN = "half_open"
    """By one request; how it ends decides."""


class BreakerEvent(StrEnum):
    """What moves a breaker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Fewer times in a row than the policy allows."""
    TRIPPED = "tripped"
    """As many times in a row as the policy allows."""
    COOLED = "cooled"
    """The time in which it is left alone is over."""
    ABANDONED = "abandoned"
    """A request ended without saying anything about the route: the caller went away."""


_S, _E = BreakerState, BreakerEvent
TRANSITIONS: Mapping[BreakerState, Mapping[BreakerEvent, BreakerState]] = MappingProxyType(
    {
        _S.CLOSED: {
            _E.SUCCEEDED: _S.CLOSED,
            _E.FAILED: _S.CLOSED,
            _E.TRIPPED: _S.OPEN,
            _E.ABANDONED: _S.CLOSED,
        },
        _S.OPEN: {
            _E.SUCCEEDED: _S.OPEN,
            _E.FAILED: _S.OPEN,
            _E.TRIPPED: _S.OPEN,
            _E.COOLED: _S.HALF_OPEN,
            _E.ABANDONED: _S.OPEN,
        },
        _S.HALF_OPEN: {
            _E.SUCCEEDED: _S.CLOSED,
            _E.FAILED: _S.OPEN,
            _E.TRIPPED: _S.OPEN,
            _E.ABANDONED: _S.HALF_OPEN,
        },
    }
)


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long."""

    failures: int = 5
    """In a row, over all requests."""
    open_s: float = 10.0
    """How long it stays open the first time."""
    factor: float = 2.0
    """By which it stays open longer each time that the one request of `HALF_OPEN` fails too."""
    max_open_s: float = 300.0


class Breaker(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a breaker stands."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    """In a row."""
    opened_at: float = 0.0
    open_s: float = 0.0
    probing: bool = False
    """Whether the one request of `HALF_OPEN` is under way."""


CLOSED = Breaker()


def ready_at(breaker: Breaker) -> float | None:
    """Seconds since the epoch from which the route may be asked; None: when the request that is under way has ended."""
    match breaker.state:
        case BreakerState.CLOSED:
            return 0.0
        case BreakerState.OPEN:
            return breaker.opened_at + breaker.open_s
        case BreakerState.HALF_OPEN:
            return None if breaker.probing else 0.0


def asked(breaker: Breaker) -> Breaker:
    """The route is asked, which `ready_at` allowed."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    cooled = TRANSITIONS[BreakerState.OPEN][BreakerEvent.COOLED]
    return msgspec.structs.replace(breaker, state=cooled, probing=True)


def ended(policy: BreakerPolicy, breaker: Breaker, event: BreakerEvent, now: float) -> Breaker:
    """A request to the route ended.

    Args:
        policy: When it opens.
        breaker: Where it stands.
        event: `SUCCEEDED`, `FAILED` or `ABANDONED`.
        now: Seconds since the epoch.
    """
    if event is BreakerEvent.SUCCEEDED and breaker.failures == 0:
        return breaker  # by far the most frequent
    if event is BreakerEvent.FAILED and breaker.failures + 1 >= policy.failures:
        event = BreakerEvent.TRIPPED
    after = TRANSITIONS[breaker.state][event]
    match after, breaker.state:
        case BreakerState.CLOSED, _ if event is BreakerEvent.SUCCEEDED:
            return CLOSED
        case BreakerState.CLOSED, _:
            return msgspec.structs.replace(
                breaker, failures=breaker.failures + (event is BreakerEvent.FAILED)
            )
        case BreakerState.OPEN, BreakerState.OPEN:
            return breaker
        case BreakerState.OPEN, _:
            longer = breaker.open_s * policy.factor if breaker.open_s else policy.open_s
            return Breaker(
                state=after,
                failures=breaker.failures + 1,
                opened_at=now,
                open_s=min(longer, policy.max_open_s),
            )
        case _:
            return msgspec.structs.replace(breaker, probing=False)
