"""Where two runs part: what a fork changed, or what another model did. Pure."""

from collections.abc import Sequence
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from agent_core import events as ev


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Two journals side by side."""

    common: int
    """How many events they begin with in common; times and ids of runs do not count."""
    left: tuple[ev.Event, ...]
    """The events of the first behind that."""
    right: tuple[ev.Event, ...]


def diverge(left: Sequence[ev.Event], right: Sequence[ev.Event]) -> Divergence:
    """Compare two journals from their first events on."""
    pairs = zip(map(_timeless, left), map(_timeless, right), strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return Divergence(common=common, left=tuple(left[common:]), right=tuple(right[common:]))


def _timeless(event: ev.Event) -> ev.Event:
    if isinstance(event, ev.RunStarted):
        return replace(event, at=0.0, run_id="", session_id="")
    return replace(event, at=0.0)
