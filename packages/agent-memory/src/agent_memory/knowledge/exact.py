"""Vectors in memory, compared one by one: nothing is missed, and below 100,000 nothing else is faster to keep."""

import numpy as np
from numpy.typing import NDArray


class ExactVectors:
    """The vectors of one version of a table, and the keys of their rows."""

    def __init__(self, keys: NDArray[np.int64], vectors: NDArray[np.float32], version: int) -> None:
        self._keys = keys
        self._vectors = vectors
        self._places: NDArray[np.intp] | None = None
        self.version = version

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)

    def nearest(
        self, query: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """The `count` keys of the largest cosine, best first; `among`: only of these keys."""
        keys, vectors = self._keys, self._vectors
        if among is not None:
            places = self._places_of(among)
            keys = keys[places]
            # Few rows are worth picking out; of many, all are compared and the others thrown away.
            cosines = vectors[places] @ query if len(places) * 4 < len(vectors) else (vectors @ query)[places]
        else:
            cosines = vectors @ query
        count = min(count, len(keys))
        if not count:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return list(zip(keys[best].tolist(), cosines[best].tolist(), strict=True))

    def extended(self, keys: NDArray[np.int64], vectors: NDArray[np.float32], version: int) -> "ExactVectors":
        """With rows more, as a later version has them."""
        return ExactVectors(
            np.concatenate([self._keys, keys]), np.concatenate([self._vectors, vectors]), version
        )

    def _places_of(self, among: NDArray[np.int64]) -> NDArray[np.intp]:
        if self._places is None:
            self._places = np.argsort(self._keys)
        sorted_keys = self._keys[self._places]
        found = np.searchsorted(sorted_keys, among).clip(max=max(len(sorted_keys) - 1, 0))
        there = sorted_keys[found] == among if len(sorted_keys) else np.zeros(len(among), bool)
        places: NDArray[np.intp] = self._places[found[there]]
        return places
