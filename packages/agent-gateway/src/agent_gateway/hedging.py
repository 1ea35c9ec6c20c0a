"""When to ask a second route before the first has failed: where it takes longer than it nearly always does.

Pure. The router begins the second request, takes whichever says something first and stops the other.
"""

from collections import deque

import msgspec

_KEPT = 128


class HedgePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the second request begins. It costs a second prompt each time: choose a late moment."""

    after_s: float | None = None
    """Seconds without a first word; None: as `quantile` of what the route took lately."""
    quantile: float = 0.95
    samples: int = 20
    """How many replies of a route must be known before `quantile` is used; until then nothing is hedged."""


class Latencies:
    """The seconds until the first word of the latest replies of one route."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: float) -> None:
        """Count one reply."""
        self._seconds.append(seconds)

    def quantile(self, share: float) -> float:
        """The seconds within which this share of the replies came, by the nearest rank; at least one is known."""
        ranked = sorted(self._seconds)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def hedge_after_s(policy: HedgePolicy, latencies: Latencies) -> float | None:
    """The seconds after which a second route is asked, or None: not at all."""
    if policy.after_s is not None:
        return policy.after_s
    return latencies.quantile(policy.quantile) if len(latencies) >= max(1, policy.samples) else None
