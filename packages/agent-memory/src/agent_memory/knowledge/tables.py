"""The tables under one address: a domain's own, and beside it, while that is embedded again, the vectors made so far.

Knows names and forms of tables; what is in one is `index`'s.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.index import LanceTable, library
from agent_memory.knowledge.rows import ArrowRows, schema
from agent_memory.knowledge.staged import StagedVectors
from agent_memory.knowledge.storage import storage

_FRESH = timedelta(seconds=1)
"""What another process wrote is seen after so long; what this one wrote, at once."""
_STAGE = "-again"
"""Behind the name of a domain, which cannot hold a hyphen."""


class LanceTables:
    """The tables under one address: a folder, or a bucket of an object storage."""

    def __init__(self, connection: Any, where: str) -> None:
        """For `connect`."""
        self._connection = connection
        self._where = where

    @classmethod
    async def connect(cls, where: str, storage_options: Mapping[str, str]) -> "LanceTables":
        """`where`: a path, or `s3://`, `gs://`, `az://` with `storage_options` as LanceDB names them.

        Raises:
            KnowledgeUnavailableError: nothing can be kept there.
        """
        with storage(where):
            connection: Any = await library().connect_async(
                where, read_consistency_interval=_FRESH, storage_options=dict(storage_options) or None
            )
        tables = cls(connection, where)
        if "://" in where:
            await tables.names()  # a bucket that is not there is told of now, and not when something is kept
        return tables

    async def names(self) -> list[str]:
        """The domains that have a table."""
        return [name for name in await self._all() if not name.endswith(_STAGE)]

    async def _all(self) -> list[str]:
        with storage(self._where):
            listed: Any = await self._connection.list_tables(limit=10_000)
            return sorted(listed.tables)

    async def open(self, name: str) -> LanceTable:
        """A table that is there."""
        with storage(self._where):
            table = await self._connection.open_table(name)
            return LanceTable(self._connection, table, await table.schema(), f"{self._where}/{name}")

    async def create(self, domain: Domain, *, dimensions: int, embedder: str) -> LanceTable:
        """A new table for a domain, with its indexes; one that was made meanwhile is opened."""
        layout = schema(domain, dimensions=dimensions, embedder=embedder)
        with storage(self._where):
            await self._connection.create_table(domain.name, schema=layout, exist_ok=True)
        table = await self.open(domain.name)
        await table.make_indexes(domain)
        return table

    async def overwrite(self, domain: Domain, made: ArrowRows) -> None:
        """Put other rows, of another form, in the place of a table, in one commit: a version of it."""
        with storage(self._where):
            table = await self._connection.create_table(domain.name, made, mode="overwrite")
            table.close()

    async def finish(self, domain: Domain, table: LanceTable) -> None:
        """Do what is left where somebody was killed who made the table, or all of its vectors anew."""
        if not await table.is_indexed(domain):
            await table.make_indexes(domain)
            await table.index_vectors(await table.count(), anew=True)
        if f"{domain.name}{_STAGE}" in await self._all():
            staged = await self.open(f"{domain.name}{_STAGE}")
            is_over = staged.recorded == table.recorded
            staged.close()
            if is_over:
                await self.unstage(domain)

    async def stage(self, domain: Domain, *, dimensions: int, embedder: str) -> StagedVectors:
        """The vectors of `embedder` that were made so far for a domain; those of another one go."""
        name = f"{domain.name}{_STAGE}"
        layout = StagedVectors.layout(dimensions, embedder)
        if name in await self._all():
            staged = await self.open(name)
            is_other = not staged.layout.equals(layout, check_metadata=True)
            staged.close()
            if is_other:
                await self.drop(name)
        with storage(self._where):
            table = await self._connection.create_table(name, schema=layout, exist_ok=True)
        return StagedVectors(table, f"{self._where}/{name}", dimensions)

    async def unstage(self, domain: Domain) -> None:
        """Let the vectors go that were made so far; nothing happens where there are none."""
        await self.drop(f"{domain.name}{_STAGE}")

    async def drop(self, name: str) -> None:
        """Delete a table with all of its versions."""
        with storage(self._where):
            await self._connection.drop_table(name, ignore_missing=True)

    def close(self) -> None:
        """Let go of the storage."""
        self._connection.close()
