"""How like a question each episode is by meaning: vectors in memory, compared exactly. The importer of numpy here.

Vectors are a means and never the truth: they are made in the background from the texts, and can be made again.
"""

import sqlite3
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent_core.embeddings import Embeddings
from agent_memory.long_term import episodes

Vectors: TypeAlias = NDArray[np.float32]

NEAREST = 30
"""So many of the most alike are ranked, whatever words they use."""
MAX_IN_MEMORY = 200_000
"""Of the newest; with 256 dimensions that is 200 MB. Older ones are found by their words."""


class Likeness:
    """The vectors of a memory. For one thread at a time; `db` is that thread's connection."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._ids = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, dimensions), np.float32)
        self._used = 0

    def follow(self, db: sqlite3.Connection) -> None:
        """Read what was added since, by whichever process."""
        last = int(self._ids[self._used - 1]) if self._used else 0
        rows = episodes.vectors(db, last)
        if not rows:
            return
        self._reserve(len(rows))
        end = self._used + len(rows)
        self._ids[self._used : end] = [row_id for row_id, _ in rows]
        self._vectors[self._used : end] = np.frombuffer(b"".join(v for _, v in rows), "<f4").reshape(
            len(rows), self._dimensions
        )
        self._used = end
        if self._used > MAX_IN_MEMORY:
            surplus = self._used - MAX_IN_MEMORY * 3 // 4
            self._ids = self._ids[surplus:].copy()
            self._vectors = self._vectors[surplus:].copy()
            self._used -= surplus

    def forget(self) -> None:
        """Hold nothing; the next `follow` reads all again."""
        self._used = 0

    def cosines(self, question: Embeddings, ids: Sequence[int]) -> dict[int, float]:
        """Cosine to the first vector of `question` of those of `ids` that are held."""
        query = np.frombuffer(question.vectors, "<f4")[: self._dimensions]
        places = np.searchsorted(self._ids[: self._used], np.asarray(ids, np.int64))
        found = [
            (row_id, place)
            for row_id, place in zip(ids, places.tolist(), strict=True)
            if place < self._used and self._ids[place] == row_id
        ]
        if not found:
            return {}
        values = self._vectors[[place for _, place in found]] @ query
        return dict(zip((row_id for row_id, _ in found), values.tolist(), strict=True))

    def nearest(self, question: Embeddings) -> list[int]:
        """The ids most like the first vector of `question`, best first."""
        query = np.frombuffer(question.vectors, "<f4")[: self._dimensions]
        cosines = self._vectors[: self._used] @ query
        count = min(NEAREST, self._used)
        if not count:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best])]
        return [int(self._ids[place]) for place in best if cosines[place] > 0]

    def _reserve(self, more: int) -> None:
        needed = self._used + more
        if needed <= len(self._ids):
            return
        room = max(needed, 2 * len(self._ids), 1_024)
        ids, vectors = np.empty(room, np.int64), np.empty((room, self._dimensions), np.float32)
        ids[: self._used], vectors[: self._used] = self._ids[: self._used], self._vectors[: self._used]
        self._ids, self._vectors = ids, vectors
