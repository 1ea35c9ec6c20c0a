"""One table of LanceDB: written in batches, searched by word and by vector, kept in order. The only importer of lancedb.

What was measured of LanceDB 0.40 decides here: positions in full text made `optimize` crash (lance#7653), so there are
none; what codes say is near is compared exactly; the vectors' index is never the default one, whose training takes
minutes; no search reads a column, which takes as long as many a search. Knows rows and predicates; nothing of files,
models or fusion.
"""

import contextlib
import functools
import math
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agent_memory.knowledge.allocators import give_back
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.filters import column, quoted
from agent_memory.knowledge.found import Hits, as_hits, by_place
from agent_memory.knowledge.rows import SHOWN, ArrowSchema, ArrowTable, Shown
from agent_memory.knowledge.storage import storage

Grain: TypeAlias = Literal["window", "text", "lead"]

EXACT_BELOW = 100_000
"""Fewer vectors are compared in memory."""
GRAPH_BELOW = 400_000
"""Fewer are in one graph (HNSW_SQ); more in partitions (IVF_RQ), whose build takes less memory."""
_TRAINING = {"sample_rate": 64, "max_iterations": 15}
"""The defaults take four times as long and find no more (1,000,000 x 256)."""
_ROWS_A_PARTITION = 4_096
"""LanceDB's upkeep brings partitions of fewer than 2,048 rows together, so smaller ones would not last."""
_BITS = 3
"""Of a code a dimension (RaBitQ). With 3, comparing as many exactly as are asked for finds what comparing all finds in
the same partitions (1,000,000 x 256: .986); with 1, twice as many find .964. Codes of IVF_PQ took twice the time."""
_WIDTHS = 8
"""RaBitQ codes vectors whose dimensions are a multiple of this."""
_LOOKED_INTO = 1 / 5
"""The share of the partitions that is searched. Recall@10 of 1,000,000 x 256 is .98 then."""
_PASSING = 1 / 8
"""Of rows that a filter lets pass: with fewer, the nearest lie farther apart and more partitions are searched."""
_FEW = 2_000
"""So few rows that pass are compared one by one, without the index."""
_GRAINS: tuple[Grain, ...] = ("window", "lead")
_FULL_TEXT_MIB = 512
"""What building full text may take: it grows with the table otherwise."""


class LanceTable:
    """A table that is there. All of its methods raise `KnowledgeUnavailableError` where the storage fails."""

    def __init__(self, connection: Any, table: Any, layout: ArrowSchema, where: str) -> None:
        """For `tables.LanceTables`, which opens and creates."""
        self._connection = connection
        self._table = table
        self._where = where
        self.layout = layout

    @property
    def recorded(self) -> Mapping[str, str]:
        """What was recorded when the table was made: `embedder`, `dimensions`, `format`."""
        metadata = cast("dict[bytes, bytes]", self.layout.metadata or {})
        return {name.decode(): value.decode() for name, value in metadata.items()}

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def add(self, rows: ArrowTable) -> None:
        """Append rows, in one commit."""
        with storage(self._where):
            # One file: several at once took half as much processor time again (50,000 x 256), and more fragments.
            await self._table.add(rows, write_parallelism=1)

    async def replace(self, rows: ArrowTable, sources: Iterable[str]) -> None:
        """In one commit: these rows, and no others of `sources`."""
        of_them = f"source IN ({', '.join(quoted(source) for source in sources)})"
        with storage(self._where):
            merge = self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            await merge.when_not_matched_by_source_delete(of_them).execute(rows)

    async def delete(self, sources: Iterable[str]) -> None:
        """Remove the rows of `sources`; older versions still have them."""
        with storage(self._where):
            await self._table.delete(f"source IN ({', '.join(quoted(source) for source in sources)})")

    async def rewrite(self) -> None:
        """Write every row anew: a deleted row stays in its file until then, if nine in ten of its neighbours live."""
        with storage(self._where):
            await self._table.update(updates_sql={"ordinal": "ordinal"})

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def version(self) -> int:
        """The number of the latest version."""
        with storage(self._where):
            return int(await self._table.version())

    async def count(self, where: str = "") -> int:
        """How many rows there are."""
        with storage(self._where):
            return int(await self._table.count_rows(where or None))

    async def full_text(self, grain: Grain, query: str, where: str, count: int) -> Hits:
        """The rows whose `grain` holds words of `query`, by BM25."""
        with storage(self._where):
            match: Any = library().query.MatchQuery
            search = _narrowed(self._table.query().nearest_to_text(match(query, grain)), where)
            found = await search.select(["_rowid", "_score"]).limit(count).to_arrow()
        return as_hits(found, "_score")

    async def nearest(
        self, vector: NDArray[np.float32], where: str, count: int, rows: int, passing: int
    ) -> Hits:
        """The rows of the largest cosine, by the index; `rows`: how many there are, `passing`: that `where` lets pass."""
        with storage(self._where):
            search = self._table.query().nearest_to(vector).distance_type("cosine")
            if passing <= _FEW:
                search = search.bypass_vector_index()
            elif rows >= GRAPH_BELOW:
                search = search.nprobes(_probes(rows, passing)).refine_factor(1)
            else:
                # Its codes are of eight bits a dimension: comparing exactly takes three times as long for .98 to 1.00.
                search = search.ef(max(200, 2 * count))
            found = await _narrowed(search, where).select(["_rowid", "_distance"]).limit(count).to_arrow()
        return [(place, 1 - distance) for place, distance in as_hits(found, "_distance")]

    async def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """All places and vectors: for a table that is small enough."""
        with storage(self._where):
            found = await self._table.query().select(["_rowid", "vector"]).to_arrow()
        width = found.schema.field("vector").type.list_size
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        return found["_rowid"].to_numpy().astype(np.int64), flat.reshape(-1, width)

    async def sample(self, count: int) -> NDArray[np.float32]:
        """The vectors of `count` rows, whichever are read first."""
        with storage(self._where):
            found = await self._table.query().select(["vector"]).limit(count).to_arrow()
        width = found.schema.field("vector").type.list_size
        return cast(
            "NDArray[np.float32]", found["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        )

    async def places(self, where: str) -> NDArray[np.int64]:
        """The places of the rows that a predicate lets pass."""
        with storage(self._where):
            found = await self._table.query().where(where).select(["_rowid"]).to_arrow()
        return cast("NDArray[np.int64]", found["_rowid"].to_numpy().astype(np.int64))

    async def rows(self, places: Sequence[int]) -> dict[int, Shown]:
        """The rows by their places, in any order; of those that were moved or deleted meanwhile, none."""
        if not places:
            return {}
        with storage(self._where):
            taken = self._table.take_row_ids(list(places)).with_row_id().select(list(SHOWN))
            return by_place(await taken.to_arrow())

    async def digests(self, version: int | None = None) -> dict[str, str]:
        """The digest of every source, now or in an older version."""
        with storage(self._where):
            async with self._at(version) as table:
                found = await table.query().where("ordinal = 0").select(["source", "digest"]).to_arrow()
        return dict(zip(found["source"].to_pylist(), found["digest"].to_pylist(), strict=True))

    async def sources(self) -> set[str]:
        """Every source that has a row, whole or not."""
        found: set[str] = set()
        with storage(self._where):
            async for part in await self._table.query().select(["source"]).to_batches():
                found.update(part["source"].to_pylist())
        return found

    async def batches(self, count: int, without: Sequence[str] = ()) -> AsyncGenerator[Any]:
        """All rows of the latest version, as Arrow batches of at most `count`; `without` some columns."""
        names = [name for name in self.layout.names if name not in without]
        with storage(self._where):
            async with self._at(await self.version()) as table:
                async for part in await table.query().select(names).to_batches(max_batch_length=count):
                    yield part

    # ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def marks(self) -> dict[str, int]:
        """Marked versions by name; they are kept when older ones are cleaned up."""
        with storage(self._where):
            tags = await self._table.tags.list()
            return {name: await self._table.tags.get_version(name) for name in tags}

    async def mark(self, name: str) -> None:
        """Keep the latest version under a name."""
        with storage(self._where):
            await self._table.tags.create(name, await self._table.version())

    async def unmark(self, name: str) -> None:
        """Let a version go."""
        with storage(self._where):
            await self._table.tags.delete(name)

    async def restore(self, version: int) -> None:
        """A new version that is what `version` was."""
        with storage(self._where):
            # Not with the handle that others read and write with: one that is at an older version refuses to write.
            async with self._at(version) as older:
                await older.restore()
        await self.refresh()

    async def refresh(self) -> None:
        """See at once what was written with another handle, columns too."""
        with storage(self._where):
            await self._table.checkout_latest()
            self.layout = await self._table.schema()

    async def times(self) -> dict[int, float]:
        """When each version that is still there was made, in seconds since the epoch."""
        with storage(self._where):
            return {
                int(one["version"]): one["timestamp"].timestamp() for one in await self._table.list_versions()
            }

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def make_indexes(self, domain: Domain) -> None:
        """Full text, and what filters need; those that are there are made anew."""
        config: Any = library().index
        with storage(self._where):
            grains = [
                grain for grain in (*_GRAINS, "text") if grain in _GRAINS or await self._has(f"{grain}_idx")
            ]
        for grain in grains:
            await self._index_text(grain, domain.language)
        with storage(self._where):
            await self._table.create_index("key", config=config.BTree())
            await self._table.create_index("source", config=config.BTree())
            for name, is_ordered in self._filtered(domain):
                await self._table.create_index(name, config=config.BTree() if is_ordered else config.Bitmap())

    def _filtered(self, domain: Domain) -> list[tuple[str, bool]]:
        """The columns of a domain's fields, and whether they have an order; a field may be newer than the table."""
        columns = [(column(field.name), field.kind in {"number", "date"}) for field in domain.fields]
        return [one for one in columns if one[0] in self.layout.names]

    async def index_units(self, domain: Domain) -> None:
        """Full text of the units alone, if it is not there: it is made where it counts, which is not by default."""
        with storage(self._where):
            is_there = await self._has("text_idx")
        if not is_there:
            await self._index_text("text", domain.language)

    async def _index_text(self, grain: str, language: str) -> None:
        config: Any = library().index
        full_text = config.FTS(
            # As its default, and takes words apart where no spaces do: Chinese, Japanese, Thai.
            base_tokenizer="icu/split",
            with_position=False,
            language=language,
            memory_limit=_FULL_TEXT_MIB,
            max_token_length=40,
        )
        with storage(self._where):
            await self._table.create_index(grain, config=full_text)

    async def _has(self, name: str) -> bool:
        return name in {index.name for index in await self._table.list_indices()}

    async def is_indexed(self, domain: Domain) -> bool:
        """Whether all of its indexes but the vectors' are there: they are made after it, and a kill may come in between."""
        wanted = {*_GRAINS, "key", "source", *(name for name, _ in self._filtered(domain))}
        with storage(self._where):
            there = {index.name for index in await self._table.list_indices()}
        return {f"{name}_idx" for name in wanted} <= there

    async def unindexed(self) -> int:
        """How many rows full text reads one by one, because they came after the last upkeep."""
        with storage(self._where):
            stats = await self._table.index_stats("window_idx")
        return int(stats.num_unindexed_rows) if stats is not None else 0

    async def optimize(self, *, keep: timedelta, delete_unverified: bool = False) -> None:
        """Bring fragments together and indexes up to date; versions older than `keep` go, but for marked ones."""
        with storage(self._where):
            await self._table.optimize(cleanup_older_than=keep, delete_unverified=delete_unverified)

    async def index_vectors(self, rows: int, *, anew: bool = False) -> None:
        """The index that `rows` vectors call for, if it is not there yet, or `anew`."""
        if rows < EXACT_BELOW:
            return
        config: Any = library().index

        width = self.layout.field("vector").type.list_size
        wanted = "HnswSq" if rows < GRAPH_BELOW else "IvfRq" if width % _WIDTHS == 0 else "IvfSq"
        with storage(self._where):
            there = {index.name: str(index.index_type) for index in await self._table.list_indices()}
            kept = there.get("vector_idx", "")
            if kept and not anew and wanted in {kept, "HnswSq"}:
                return
            more: dict[str, Any] = {"num_partitions": max(1, rows // _ROWS_A_PARTITION)}
            if wanted == "HnswSq":
                more = {"num_partitions": 1, "ef_construction": 150}
            elif wanted == "IvfRq":
                more["num_bits"] = _BITS
            made = getattr(config, wanted)(distance_type="cosine", **more, **_TRAINING)
            await self._table.create_index("vector", config=made, replace=True)

    @contextlib.asynccontextmanager
    async def _at(self, version: int | None) -> AsyncGenerator[Any]:
        """The table as it was; the handle that others search with stays where it is."""
        if version is None:
            yield self._table
            return
        other = await self._connection.open_table(self._table.name)
        try:
            await other.checkout(version)
            yield other
        finally:
            other.close()

    def close(self) -> None:
        """Let go of the table."""
        self._table.close()


@functools.cache
def library() -> Any:
    """lancedb, whose types change with every release; it takes a second to import, and 80 MB."""
    # Else it warns of every search that does not show its score, on standard error.
    os.environ.setdefault("LANCE_LOG", "error")
    import lancedb  # noqa: PLC0415

    give_back()  # a seventh of what it took, which is rubbish of the models of its remote catalogs
    return cast("Any", lancedb)


def _probes(rows: int, passing: int) -> int:
    """How many partitions are searched: more where a filter leaves few rows in each."""
    share = _LOOKED_INTO * max(1.0, math.sqrt(_PASSING * rows / passing))
    return max(20, math.ceil(min(1.0, share) * rows / _ROWS_A_PARTITION))


def _narrowed(search: Any, where: str) -> Any:
    return search.where(where) if where else search
