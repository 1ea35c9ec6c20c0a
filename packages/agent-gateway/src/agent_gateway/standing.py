"""How a route stands over all requests: its breaker, its limits, who waits for it. Owns no time and makes no request."""

import math
from collections import deque
from enum import StrEnum

import anyio
import msgspec

from agent_core.errors import ModelError
from agent_core.messages import Usage
from agent_core.ports import ChatModel
from agent_gateway.breaker import CLOSED, Breaker, BreakerEvent, BreakerPolicy, asked, ended, ready_at
from agent_gateway.budgets import NO_HOLD, Hold
from agent_gateway.hedging import Latencies
from agent_gateway.limits import RateLimits, SlidingWindow
from agent_gateway.routing import advice_s, counts_against

_LONGEST_REST_S = 3_600.0
"""For which a provider's word is enough: then it is asked again, since a clock that is wrong once would end the route."""


class Route(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A model that a router may ask, and how much."""

    model: ChatModel
    name: str = ""
    """As errors and reports call it; empty: the name of the model's profile."""
    weight: float = 1.0
    """The share that it gets under `WEIGHTED`, `LEAST_BUSY` and `STICKY`; above 0."""
    limits: RateLimits = RateLimits()


class Outcome(StrEnum):
    """How a request to a route ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """The caller went away, or another route was faster."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One request to one route: what `Router(on_attempt=...)` is told once it has ended."""

    route: str
    outcome: Outcome
    seconds: float
    """From asking to the end of the reply."""
    first_word_s: float | None = None
    usage: Usage | None = None
    error: ModelError | None = None


class Standing:
    """One route, over all requests of a router."""

    def __init__(self, route: Route, name: str, policy: BreakerPolicy) -> None:
        limits = route.limits
        self.name = name
        self.model = route.model
        self.weight = route.weight
        self.in_flight = 0
        self.cool_until = 0.0
        """Until when the provider asked to be left alone."""
        self.breaker: Breaker = CLOSED
        self.latencies = Latencies()
        self._policy = policy
        self._concurrency = limits.concurrency
        self._requests = _window(limits.requests_per_minute)
        self._tokens = _window(limits.tokens_per_minute)
        self._line: deque[anyio.Event] = deque()
        self._called: set[anyio.Event] = set()
        """Those who were called out of the line and have not come yet: their places are taken."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it has to know how many tokens a request may take."""
        return self._tokens is not None

    def ready_at(self, now: float, tokens: int, *, first_in_line: bool) -> float | None:
        """Seconds since the epoch from which it may be asked; None: once one of its requests has ended.

        Args:
            now: Seconds since the epoch.
            tokens: What the request may take.
            first_in_line: Whether whoever asks has waited in its line; others wait behind those who do.
        """
        cap = self._concurrency
        if cap is not None:
            taken = self.in_flight + len(self._called)
            if taken >= cap or (self._line and not first_in_line):
                return None
        cooled = ready_at(self.breaker)
        if cooled is None:
            return None
        ready = max(cooled, self.cool_until)
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(now))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(now, tokens))
        return ready

    def begin(self, now: float, tokens: int, hold: Hold = NO_HOLD) -> "Place":
        """Take the place that `ready_at` promised."""
        self.in_flight += 1
        self.breaker = asked(self.breaker)
        if self._requests is not None:
            self._requests.take(now)
        slot = self._tokens.take(now, tokens) if self._tokens is not None else 0
        return Place(self, now, tokens, slot, hold)

    def end(self, place: "Place", now: float, usage: Usage | None, error: ModelError | None) -> None:
        """Give a place back. `usage` None and no error: the caller went away."""
        self.in_flight -= 1
        if self._tokens is not None and usage is not None and usage.total_tokens:
            self._tokens.correct(now, place.slot, place.tokens, usage.total_tokens)
        self.breaker = ended(self._policy, self.breaker, _event(usage, error), now)
        if error is not None:
            wait_s = advice_s(error)
            if wait_s is not None:
                self.cool_until = max(self.cool_until, now + min(wait_s, _LONGEST_REST_S))
        elif usage is not None and place.first_word_s is not None:
            self.latencies.add(place.first_word_s)
        self.wake()

    def stand_in_line(self) -> anyio.Event:
        """The event of somebody who waits for room."""
        event = anyio.Event()
        self._line.append(event)
        return event

    def join_line(self, event: anyio.Event) -> None:
        """Let `event`, of somebody who waits for other routes too, wait for this one."""
        self._line.append(event)

    def leave_line(self, event: anyio.Event) -> None:
        """Whoever had `event` does not wait any more, and will take a place now or never."""
        self._called.discard(event)
        if event in self._line:
            self._line.remove(event)

    def wake(self) -> None:
        """As many of those who wait as there is room for, the first come first."""
        if ready_at(self.breaker) is None:
            return  # its one request will call them
        cap = math.inf if self._concurrency is None else self._concurrency
        while self._line and self.in_flight + len(self._called) < cap:
            event = self._line.popleft()
            if not event.is_set():
                event.set()
                self._called.add(event)


class Place:
    """The place of one request at a route, from asking until it is given back."""

    __slots__ = ("asked", "asked_at", "first_word_s", "hold", "slot", "standing", "tokens")

    def __init__(self, standing: Standing, asked_at: float, tokens: int, slot: int, hold: Hold) -> None:
        self.standing = standing
        self.asked_at = asked_at
        self.tokens = tokens
        self.slot = slot
        self.hold = hold
        self.asked = False
        """Whether the route was asked: a place may be given back before."""
        self.first_word_s: float | None = None


def _window(limit: int | None) -> SlidingWindow | None:
    return None if limit is None else SlidingWindow(limit)


def _event(usage: Usage | None, error: ModelError | None) -> BreakerEvent:
    if error is not None:
        return BreakerEvent.FAILED if counts_against(error) else BreakerEvent.ABANDONED
    return BreakerEvent.ABANDONED if usage is None else BreakerEvent.SUCCEEDED
