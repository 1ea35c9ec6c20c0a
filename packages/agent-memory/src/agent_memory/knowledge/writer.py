"""The one that writes to a table: what waits goes into one commit, and upkeep has its turn between commits.

A commit of LanceDB costs milliseconds and a version, whatever it holds; a version costs every reader. So nobody commits
alone, and the table is put in order before fragments pile up (a folder of 73,669 files was seen: xagent#1195).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import NamedTuple

from agent_core.errors import KnowledgeUnavailableError
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.rows import ArrowTable, pa

_ROWS_A_COMMIT = 65_536
_COMMITS = 64
"""After so many commits, or when so many rows are not in the indexes, the table is put in order."""
_UNINDEXED = 50_000
_READ_ONE_BY_ONE = 2_000
"""More than this outside of the indexes are worth an upkeep where nothing else is coming."""
_KEEP = timedelta(hours=1)
"""Who reads an older version has so long to finish."""


class _Order(NamedTuple):
    rows: ArrowTable
    replaced: tuple[str, ...]
    done: "asyncio.Future[None]"


class BatchingWriter:
    """Writes to one table for everybody in this process. Belongs to the loop that uses it."""

    def __init__(self, table: LanceTable) -> None:
        self.table = table
        self._waiting: list[_Order] = []
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._commits = 0
        self._rows = 0
        self.upkeep_failed: KnowledgeUnavailableError | None = None
        """Why the last upkeep failed, if it did: searches go on, slower."""

    async def write(self, rows: ArrowTable, replaced: Sequence[str] = ()) -> None:
        """Add rows and remove all others of the sources `replaced`; on return they are committed.

        Raises:
            KnowledgeUnavailableError: the storage failed; nothing of this call is there.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Order(rows, tuple(replaced), done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await done

    async def delete(self, sources: Sequence[str]) -> None:
        """Remove the rows of `sources`."""
        async with self._turn:
            await self.table.delete(sources)
            self._commits += 1

    async def restore(self, version: int) -> None:
        """Make the table what it was in `version`: a commit that no other may be made beside."""
        async with self._turn:
            await self.table.restore(version)
            self._commits += 1

    @contextlib.asynccontextmanager
    async def stopped(self) -> AsyncGenerator[None]:
        """Nothing is committed within: what is written waits until another handle has done what it does."""
        async with self._turn:
            try:
                yield
            finally:
                await self.table.refresh()

    async def put_in_order(self, *, keep: timedelta = _KEEP, delete_unverified: bool = False) -> None:
        """Bring fragments together, index what is not indexed, let old versions go."""
        async with self._turn:
            await self._put_in_order(keep, delete_unverified)

    async def index_many(self) -> None:
        """Put the table in order, if many rows are outside of its indexes."""
        if await self.table.unindexed() > _READ_ONE_BY_ONE:
            await self.put_in_order()

    async def _put_in_order(self, keep: timedelta, delete_unverified: bool) -> None:
        await self.table.optimize(keep=keep, delete_unverified=delete_unverified)
        await self.table.index_vectors(await self.table.count())
        self._commits = self._rows = 0

    async def _run(self) -> None:
        while self._waiting:
            orders = self._take()
            async with self._turn:
                await self._commit(orders)
                if self._commits >= _COMMITS or self._rows >= _UNINDEXED:
                    await self._keep_up()

    def _take(self) -> list[_Order]:
        """What fits into one commit: additions together, or replacements together."""
        first, size = self._waiting[0], 0
        taken: list[_Order] = []
        while self._waiting and bool(self._waiting[0].replaced) == bool(first.replaced):
            if taken and size + self._waiting[0].rows.num_rows > _ROWS_A_COMMIT:
                break
            taken.append(self._waiting.pop(0))
            size += taken[-1].rows.num_rows
        return taken

    async def _commit(self, orders: Sequence[_Order]) -> None:
        try:
            await self._write(orders)
        except KnowledgeUnavailableError as error:
            for order in orders:
                if not order.done.done():
                    order.done.set_exception(error)
            return
        finally:  # whatever else went wrong, nobody waits for ever
            for order in orders:
                order.done.cancel()

    async def _write(self, orders: Sequence[_Order]) -> None:
        # What was made before a field was added lacks its column.
        rows = pa.concat_tables([order.rows for order in orders], promote_options="default")
        replaced = [source for order in orders for source in order.replaced]
        if replaced:
            await self.table.replace(rows, replaced)
        else:
            await self.table.add(rows)
        self._commits += 1
        self._rows += rows.num_rows
        for order in orders:
            if not order.done.done():
                order.done.set_result(None)

    async def _keep_up(self) -> None:
        try:
            await self._put_in_order(_KEEP, delete_unverified=False)
            self.upkeep_failed = None
        except KnowledgeUnavailableError as error:
            # What was written is written; the next upkeep tries again.
            self.upkeep_failed = error
            self._commits = self._rows = 0

    async def aclose(self) -> None:
        """Wait for what is being written."""
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
