"""Vectors in memory, compared one by one: nothing is missed, and below 100,000 nothing else is faster to keep."""

import numpy as np
from numpy.typing import NDArray

from agent_memory.knowledge.found import Hits


class ExactVectors:
    """The vectors of one version of a table, and the places of their rows."""

    def __init__(self, places: NDArray[np.int64], vectors: NDArray[np.float32], version: int) -> None:
        self._places = places
        self._vectors = vectors
        self._order: NDArray[np.intp] | None = None
        self.version = version

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def nearest(self, query: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None) -> Hits:
        """The `count` places of the largest cosine, best first; `among`: only of these."""
        places, vectors = self._places, self._vectors
        if among is not None:
            rows = self._rows_of(among)
            places = places[rows]
            # Few rows are worth picking out; of many, all are compared and the others thrown away.
            cosines = vectors[rows] @ query if len(rows) * 4 < len(vectors) else (vectors @ query)[rows]
        else:
            cosines = vectors @ query
        count = min(count, len(places))
        if not count:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return list(zip(places[best].tolist(), cosines[best].tolist(), strict=True))

    def _rows_of(self, among: NDArray[np.int64]) -> NDArray[np.intp]:
        if self._order is None:
            self._order = np.argsort(self._places)
        ordered = self._places[self._order]
        if not len(ordered):
            return self._order
        found = np.searchsorted(ordered, among).clip(max=len(ordered) - 1)
        rows: NDArray[np.intp] = self._order[found[ordered[found] == among]]
        return rows
