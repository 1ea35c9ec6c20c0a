"""Vectors that were made while a domain is embedded again, kept by what they were made of until all are there.

What a unit says decides its vector, and not where the unit stands: so whatever happens to a table between a kill and the
next try, what was made for a text serves for that text, and no other.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.knowledge.rows import FORMAT, ArrowSchema, Unit, pa
from agent_memory.knowledge.storage import storage

_READ_AT_ONCE = 65_536


class StagedVectors:
    """The table of them. In memory are sixteen bytes of each."""

    def __init__(self, table: Any, where: str, dimensions: int) -> None:
        """For `LanceTables.stage`."""
        self._table = table
        self._where = where
        self._dimensions = dimensions
        self._hashes = np.empty(0, np.int64)
        self._places = np.empty(0, np.int64)

    @staticmethod
    def layout(dimensions: int, embedder: str) -> ArrowSchema:
        """Its columns; what makes the vectors is recorded with them."""
        return pa.schema(
            [
                pa.field("hash", pa.int64(), nullable=False),
                pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
            ],
            metadata={"embedder": embedder, "dimensions": str(dimensions), "format": FORMAT},
        )

    async def load(self) -> None:
        """See what is there; what is added afterwards, with the next call."""
        hashes, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        with storage(self._where):
            asked = self._table.query().select(["hash", "_rowid"])
            async for part in await asked.to_batches(max_batch_length=_READ_AT_ONCE):
                hashes.append(part["hash"].to_numpy())
                places.append(part["_rowid"].to_numpy().astype(np.int64))
        self._hashes, first = np.unique(np.concatenate(hashes), return_index=True)
        self._places = np.concatenate(places)[first]

    def without(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of the units whose vectors had not been made when it was loaded."""
        _, is_there = self._found(_hashes(units))
        return [unit for unit, there in zip(units, is_there.tolist(), strict=True) if not there]

    async def add(self, units: Sequence[Unit], vectors: NDArray[np.float32]) -> None:
        """Keep vectors, float32 [units, dimensions]: they are on the storage when this returns."""
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
        columns = [pa.array(_hashes(units)), pa.FixedSizeListArray.from_arrays(flat, self._dimensions)]
        with storage(self._where):
            schema = await self._table.schema()
            await self._table.add(pa.table(columns, schema=schema))

    async def of(self, units: Sequence[Unit]) -> NDArray[np.float32]:
        """The vectors of units, all of which were there when it was loaded: float32 [units, dimensions]."""
        wanted, inverse = np.unique(_hashes(units), return_inverse=True)
        rows, is_there = self._found(wanted)
        assert is_there.all()  # noqa: S101  # they were made before
        with storage(self._where):
            taken = self._table.take_row_ids(self._places[rows].tolist()).select(["hash", "vector"])
            found = await taken.to_arrow()
        order = np.argsort(found["hash"].to_numpy())
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        vectors: NDArray[np.float32] = flat.reshape(-1, self._dimensions)[order][inverse]
        return vectors

    def close(self) -> None:
        """Let go of the table."""
        self._table.close()

    def _found(self, hashes: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each one stands, and whether it does."""
        if not len(self._hashes):
            return np.zeros(len(hashes), np.intp), np.zeros(len(hashes), np.bool_)
        rows = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        return rows, self._hashes[rows] == hashes


def _hashes(units: Sequence[Unit]) -> NDArray[np.int64]:
    told = (f"{unit.lead}\0{unit.text}".encode("utf-8", "surrogatepass") for unit in units)
    return np.fromiter(
        (int.from_bytes(hashlib.blake2b(one, digest_size=8).digest(), "little", signed=True) for one in told),
        np.int64,
        len(units),
    )
