"""How much a route is asked at most: requests and tokens a minute. Pure: the time is an argument.

The law: what is taken in any window of `window_s` seconds is at most the limit, wherever the window begins. A bucket that
refills would allow twice as much around an idle time, and providers that count by the minute answer with 429.
"""

import math
from collections import deque

import msgspec

_SLOTS = 60


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a route takes at most; None: as much as comes."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Of prompt and reply together, as estimated before a request and corrected after it."""
    concurrency: int | None = None
    """Requests under way at once; those over it wait in line."""


class SlidingWindow:
    """What was taken in the last `window_s` seconds, and when more may be.

    Kept by slots of a sixtieth of a window, so that it takes no more memory at 100,000 a minute than at 10. What was
    taken counts until a whole window after its slot has ended, so the rate may be a sixtieth too low, never too high.
    """

    def __init__(self, limit: float, window_s: float = 60.0) -> None:
        self._limit = limit
        self._window_s = window_s
        self._slot_s = window_s / _SLOTS
        self._slots: deque[tuple[int, float]] = deque()
        """The number of a slot and what was taken in it, oldest first."""
        self._taken = 0.0

    def ready_at(self, now: float, amount: float = 1.0) -> float:
        """Seconds since the epoch from which `amount` may be taken; infinity where it is over the limit itself."""
        if amount > self._limit:
            return math.inf
        self._forget(now)
        over = self._taken + amount - self._limit
        if over <= 0:
            return now
        for slot, taken in self._slots:
            over -= taken
            if over <= 0:
                return self._free_at(slot)
        return self._free_at(self._slots[-1][0])  # a rounding error stood in the way of zero

    def take(self, now: float, amount: float = 1.0) -> int:
        """Count `amount` as taken at `now`; returns the slot, for `correct`."""
        slot = int(now // self._slot_s)
        if self._slots and self._slots[-1][0] >= slot:  # the same, or a clock that went back
            slot, taken = self._slots.pop()
            self._slots.append((slot, taken + amount))
        else:
            self._slots.append((slot, amount))
        self._taken += amount
        return slot

    def correct(self, now: float, slot: int, estimated: float, actual: float) -> None:
        """What was taken in `slot` as `estimated` turned out to be `actual`.

        More is counted at `now`, because that is when it is known; less is given back to the slot that it is from.
        """
        if actual > estimated:
            self.take(now, actual - estimated)
            return
        for place in range(len(self._slots) - 1, -1, -1):
            number, taken = self._slots[place]
            if number == slot:
                back = min(taken, estimated - actual)
                self._slots[place] = (number, taken - back)
                self._taken -= back
                return

    def _free_at(self, slot: int) -> float:
        return (slot + 1) * self._slot_s + self._window_s

    def _forget(self, now: float) -> None:
        while self._slots and self._free_at(self._slots[0][0]) <= now:
            self._taken -= self._slots.popleft()[1]
        if not self._slots:
            self._taken = 0.0  # rounding errors do not add up
