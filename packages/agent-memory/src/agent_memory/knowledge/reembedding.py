"""All vectors of a domain made anew with another embedder: some thousand at a time, and in one commit in the end.

First every vector is made and kept beside the table, a part at a time; who is killed, or finds the disk full, goes on
there. Then the rows and their vectors are written together, as a version of the table: until that is committed, searches
find what there was. No more than a few parts are in memory, however large the domain.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from agent_core.errors import KnowledgeUnavailableError
from agent_core.ports import Embedder
from agent_memory.knowledge import rows
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.embedding import is_of, unit_vectors
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.rows import ArrowSchema, Unit, batch, pa
from agent_memory.knowledge.staged import StagedVectors
from agent_memory.knowledge.tables import LanceTables

OnProgress = Callable[[int, int], None]
"""Called with how many vectors are made, and how many there will be."""
_AT_ONCE = 2_048
_A_COMMIT = 8_192
"""So many vectors at most are made again by who was killed."""


async def embedded_again(
    tables: LanceTables, domain: Domain, embedder: Embedder, on_progress: OnProgress | None
) -> int:
    """Put vectors of `embedder` in the place of those of a domain, in one commit; returns how many.

    Raises:
        ModelUnavailableError: the embedder failed; what was made is kept for the next try, else nothing has changed.
        KnowledgeUnavailableError: the storage failed; likewise.
    """
    old = await tables.open(domain.name)
    try:
        staged = await tables.stage(domain, dimensions=embedder.dimensions, embedder=embedder.name)
        try:
            count = await _make_missing(old, staged, embedder, on_progress)
            layout = rows.schema(domain, dimensions=embedder.dimensions, embedder=embedder.name)
            await _swap(tables, domain, _joined(old, staged, layout), layout)
        finally:
            staged.close()
    finally:
        old.close()
    await finished(tables, domain, embedder)
    return count


async def finished(tables: LanceTables, domain: Domain, embedder: Embedder) -> int | None:
    """Where the vectors are of `embedder`, and what follows them is missing: do that; returns how many, else None.

    Raises:
        KnowledgeUnavailableError: the storage failed.
    """
    table = await tables.open(domain.name)
    try:
        if not is_of(table.recorded, embedder) or await table.is_indexed(domain):
            return None
        await tables.finish(domain, table)
        return await table.count()
    finally:
        table.close()


async def _make_missing(
    old: LanceTable, staged: StagedVectors, embedder: Embedder, on_progress: OnProgress | None
) -> int:
    """Make the vectors that are not there yet; returns how many units there are."""
    await staged.load()
    total, done, waiting = await old.count(), 0, list[Unit]()

    async def make() -> None:
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            await staged.add(some, await unit_vectors(embedder, some))
        waiting.clear()
        if on_progress is not None:
            on_progress(done, total)

    async with contextlib.aclosing(_units(old)) as parts:
        async for part in parts:
            done += len(part)
            waiting += staged.without(part)
            if len(waiting) >= _A_COMMIT:
                await make()
    await make()
    await staged.load()
    return done


async def _swap(tables: LanceTables, domain: Domain, made: AsyncGenerator[Any], layout: ArrowSchema) -> None:
    pulled = _Pulled(made)
    try:
        await tables.overwrite(domain, pa.RecordBatchReader.from_batches(layout, pulled))
    except KnowledgeUnavailableError as error:
        # LanceDB hands on what reading raised in words of its own.
        raise (pulled.error or error) from error
    finally:
        await pulled.aclose()


async def _units(table: LanceTable) -> AsyncGenerator[list[Unit]]:
    async with contextlib.aclosing(table.batches(_AT_ONCE, without=["vector"])) as parts:
        async for part in parts:
            yield rows.units(part.to_pylist())


async def _joined(old: LanceTable, staged: StagedVectors, layout: ArrowSchema) -> AsyncGenerator[Any]:
    """The rows of a table with their new vectors, as Arrow batches."""
    async with contextlib.aclosing(_units(old)) as parts:
        async for part in parts:
            for made in batch(part, await staged.of(part), layout).to_batches():
                yield made


class _Pulled:
    """What comes in this loop, for the thread in which LanceDB reads what it is to write."""

    def __init__(self, parts: AsyncGenerator[Any]) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self.error: KnowledgeUnavailableError | None = None
        """What reading raised."""

    def __iter__(self) -> Generator[Any]:
        while (part := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()) is not None:
            yield part

    async def _next(self) -> Any:
        async with self._turn:
            try:
                return await anext(self._parts, None)  # None too where it was closed
            except KnowledgeUnavailableError as error:
                self.error = error
                raise

    async def aclose(self) -> None:
        """End; LanceDB reads ahead, and may be at it when it has given up writing."""
        async with self._turn:
            await self._parts.aclose()
