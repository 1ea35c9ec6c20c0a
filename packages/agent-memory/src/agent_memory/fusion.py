"""Several rankings of the same things made into one. Pure; knows no texts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

Ranking: TypeAlias = Sequence[tuple[int, float]]
"""Keys with scores, best first."""


class Weighted(NamedTuple):
    """A ranking and what it counts."""

    ranking: Ranking
    weight: float
    is_cut: bool = False
    """True: there was more than was asked for, so the last score is what not to be there is worth."""


def fused(rankings: Sequence[Weighted]) -> dict[int, float]:
    """The weighted sum of the scores, each ranking's brought to 0..1; best first.

    Scores and not ranks: on five of six sets that were tried, sums of ranks (RRF) were worse than full text alone, for a
    rank hides that one hit stands out and that another list knows nothing.
    """
    sums: dict[int, float] = {}
    for ranking, weight, is_cut in rankings:
        if not ranking or not weight:
            continue
        top = max(score for _, score in ranking)
        floor = min(score for _, score in ranking) if is_cut else min(0.0, top)
        span = top - floor
        for key, score in ranking:
            sums[key] = sums.get(key, 0.0) + weight * ((score - floor) / span if span > 0 else 1.0)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def boosted(sums: Mapping[int, float], boosts: Mapping[int, float], weight: float) -> dict[int, float]:
    """The sums with `weight` times a boost in 0..1 for those that have one; best first."""
    raised = {key: value + weight * boosts.get(key, 0.0) for key, value in sums.items()}
    return dict(sorted(raised.items(), key=lambda item: -item[1]))
