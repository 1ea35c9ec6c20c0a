"""Erases sources of a table for good: no row, no entry of an index and no older version holds a byte of them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.writer import BatchingWriter

_NO_TIME = timedelta(milliseconds=5)  # what is older is not kept; LanceDB warns of none at all


async def erase(table: LanceTable, writer: BatchingWriter, domain: Domain, sources: Sequence[str]) -> None:
    """Remove the rows of `sources` and all that was made of them; nobody else may be using the table.

    Raises:
        KnowledgeUnavailableError: the storage failed; ask again, for what is left may still be read.
    """
    await writer.delete(sources)
    for name in await table.marks():
        await table.unmark(name)
    await table.rewrite()
    await table.make_indexes(domain)
    await table.index_vectors(await table.count(), anew=True)
    # The first brings fragments together; the second lets the version go that the first began from.
    for _ in range(2):
        await asyncio.sleep(_NO_TIME.total_seconds())
        await writer.put_in_order(keep=_NO_TIME, delete_unverified=True)
