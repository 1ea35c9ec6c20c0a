"""Which domains a query belongs to, by what they say of themselves and what is in them. Pure."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]

LOOK_IN = 3
"""So many domains are searched when none is named: one too many costs a little time, one too few the answer."""
_MARGIN = 0.6
"""A domain whose likeness is under this share of the best one's is left out."""


def profile(description: Vector, contents: NDArray[np.float32]) -> Vector:
    """What a domain is like: its description and the middle of its contents, in equal parts."""
    if not len(contents):
        return description
    middle = contents.mean(axis=0)
    length = float(np.linalg.norm(middle))
    both = description + (middle / length if length else 0)
    return np.asarray(both / (np.linalg.norm(both) or 1.0), dtype=np.float32)


def routed(query: Vector, profiles: Mapping[str, Vector]) -> list[str]:
    """The domains to look in, the likeliest first; all of them where they are few or the query says nothing."""
    if len(profiles) <= 1 or not query.any():
        return list(profiles)
    likeness = {name: float(vector @ query) for name, vector in profiles.items()}
    order = sorted(likeness, key=lambda name: -likeness[name])[:LOOK_IN]
    best = likeness[order[0]]
    return [name for name in order if best <= 0 or likeness[name] >= _MARGIN * best]
