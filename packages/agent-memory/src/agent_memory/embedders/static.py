"""The embedded embedder: a text is the mean of its words' vectors. numpy alone, no model, no network.

The table lies in `table/`, with its card and licence; `scripts/distil_static.py` made it.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeAlias

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from agent_core.embeddings import Embeddings, Purpose
from agent_memory.embedders.words import Vocabulary

Vectors: TypeAlias = NDArray[np.float32]
_INLINE = 32
"""Fewer texts are embedded at once, for a thread costs as much as they do."""
_ROWS_AT_ONCE = 16_384
"""What is gathered in one go: 16 MB of floats, whatever the texts."""


class StaticEmbedder:
    """The `Embedder` port on a table of word vectors, int8 with a scale a row; 256 dimensions.

    Some ten thousand short texts a second on one core; a query takes microseconds. The same text always has the same
    vector. A text without a known word has a vector of zeros.
    """

    name = "static:minilm-256-1"

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: a table of your own, as `scripts/distil_static.py` writes it; set `name` too.

        Raises:
            OSError: there is no table.
        """
        if folder is None:
            with as_file(files("agent_memory.embedders") / "table") as own:
                self._load(own)
        else:
            self._load(folder)

    def _load(self, folder: Path) -> None:
        # Mapped, not read: processes share the pages, and a start costs what it touches.
        self._table: NDArray[np.int8] = np.load(folder / "table.npy", mmap_mode="r")
        self._scales: Vectors = np.load(folder / "scales.npy").astype(np.float32)
        entries = (folder / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
        self._vocabulary = Vocabulary(entries)

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return int(self._table.shape[1])

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:  # noqa: ARG002  # the table makes no difference between a query and a document
        """One unit vector a text, in order; zeros for a text without a known word."""
        if len(texts) <= _INLINE:
            vectors = self.vectors(texts)
        else:
            vectors = await anyio.to_thread.run_sync(self.vectors, texts)
        return Embeddings(vectors=vectors.tobytes(), dimensions=self.dimensions)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """The same, at once and as an array: float32 [texts, dimensions]."""
        found = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        first, rows, starts = 0, list[int](), list[int]()
        for number, text in enumerate(texts):
            starts.append(len(rows))
            rows += self._vocabulary.rows(text)
            if len(rows) >= _ROWS_AT_ONCE:
                found[first : number + 1] = self._sums(rows, starts)
                first, rows, starts = number + 1, [], []
        if starts:
            found[first:] = self._sums(rows, starts)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        np.divide(found, lengths, out=found, where=lengths > 0)
        return found

    def _sums(self, rows: list[int], starts: list[int]) -> Vectors:
        """The sum of the rows of each text: its mean, but for a length that is made 1 anyway."""
        sums = np.zeros((len(starts), self.dimensions), dtype=np.float32)
        bounds = [*starts, len(rows)]
        texts = [text for text in range(len(starts)) if bounds[text] < bounds[text + 1]]
        if not texts:
            return sums
        # A text of a million words is summed in slices too.
        if len(rows) > 2 * _ROWS_AT_ONCE:
            for text in texts:
                for part in _slices(rows[bounds[text] : bounds[text + 1]]):
                    sums[text] += self._gather(part).sum(axis=0)
            return sums
        sums[texts] = np.add.reduceat(self._gather(rows), [bounds[text] for text in texts], axis=0)
        return sums

    def _gather(self, rows: Sequence[int]) -> Vectors:
        where = np.asarray(rows, dtype=np.intp)
        found: Vectors = self._table[where].astype(np.float32)
        found *= self._scales[where, None]
        return found

    async def aclose(self) -> None:
        """Nothing is held."""


def _slices(rows: Sequence[int]) -> Iterable[Sequence[int]]:
    return (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
