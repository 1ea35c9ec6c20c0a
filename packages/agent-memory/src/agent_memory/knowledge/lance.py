"""The `KnowledgeBase` port on LanceDB: one tenant's domains in a folder or a bucket, searched, filled and forgotten.

Puts together what its neighbours do: `index` keeps, `writer` writes, `retrieval` finds, `ingest` reads documents.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent_core.errors import KnowledgeUnavailableError
from agent_core.knowledge import Filters, Passage
from agent_core.ports import Embedder
from agent_memory.embedders.static import StaticEmbedder
from agent_memory.errors import EmbedderMismatchError, KnowledgeVersionError, UnknownDomainError
from agent_memory.knowledge import ingest
from agent_memory.knowledge.allocators import give_back
from agent_memory.knowledge.domains import BUILT_IN, Domain
from agent_memory.knowledge.embedding import check_embedder, unit_vectors
from agent_memory.knowledge.erasure import erase
from agent_memory.knowledge.filters import kinds, predicate
from agent_memory.knowledge.parsing import Reader, check_reader
from agent_memory.knowledge.portable import export_domains, restore_domains
from agent_memory.knowledge.profiles import Profiles
from agent_memory.knowledge.reembedding import OnProgress, embedded_again, finished
from agent_memory.knowledge.retrieval import Reranker, RetrievalWeights, Shelf, reranked
from agent_memory.knowledge.routing import routed
from agent_memory.knowledge.rows import Unit, as_array, batch
from agent_memory.knowledge.tables import LanceTables
from agent_memory.knowledge.tenants import tenant_address
from agent_memory.knowledge.versions import Difference, Version, difference, listed, marked, rolled_back
from agent_memory.knowledge.writer import BatchingWriter
from agent_memory.manifest import ExportedDomain, Manifest, manifest_of, with_knowledge, write_manifest
from agent_memory.sqlite import make_private_folder
from agent_memory.table_files import Format

_RERANKED = 40


class LanceKnowledgeBase:
    """What one tenant knows. Belongs to the asyncio loop that opened it; other processes may use the same place."""

    def __init__(
        self,
        tables: LanceTables,
        where: str,
        embedder: Embedder,
        *,
        domains: Mapping[str, Domain],
        weights: RetrievalWeights,
        reranker: Reranker | None,
    ) -> None:
        """For `open`, which knows where a tenant's tables are."""
        self._tables = tables
        self._embedder = embedder
        self._weights = weights
        self._reranker = reranker
        self._shelves: dict[str, Shelf] = {}
        self._writers: dict[str, BatchingWriter] = {}
        self._profiles = Profiles(embedder)
        self._opening = asyncio.Lock()
        self.where = where
        self.domains = domains

    @classmethod
    async def open(
        cls,
        where: str | Path,
        *,
        tenant: str,
        embedder: Embedder | None = None,
        domains: Mapping[str, Domain] = BUILT_IN,
        weights: RetrievalWeights | None = None,
        reranker: Reranker | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> Self:
        """Open what a tenant has at `where`, or begin there.

        Args:
            where: A folder, or an address such as `s3://bucket/folder`.
            tenant: Whose knowledge: it is kept in a place of its own, and nothing here reads another's.
            embedder: Makes the vectors; the embedded static table if none is given.
            domains: What can be kept: `BUILT_IN`, or what `domains_from` made of settings.
            weights: What each way of looking counts.
            reranker: Looks at the best passages again.
            storage_options: Keys and regions of an object storage, as LanceDB names them.

        Raises:
            ConfigurationError: the tenant has no name.
            KnowledgeUnavailableError: nothing can be kept there.
        """
        place = tenant_address(where, tenant)
        if "://" not in place:
            await asyncio.to_thread(make_private_folder, Path(place))
        tables = await LanceTables.connect(place, storage_options or {})
        return cls(
            tables,
            place,
            embedder or StaticEmbedder(),
            domains=domains,
            weights=weights or RetrievalWeights(),
            reranker=reranker,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────────

    async def search(
        self, query: str, *, k: int = 10, filters: Filters | None = None, domains: Sequence[str] = ()
    ) -> Sequence[Passage]:
        """The `k` passages that fit `query` best, best first; see `agent_core.ports.KnowledgeBase`.

        Raises:
            UnknownDomainError: a domain is not known.
            UnknownFieldError: none of the domains has a field to filter by.
            FilterValueError: a value to filter by is of the wrong kind.
            EmbedderMismatchError: the vectors that are kept are of another embedder.
            KnowledgeUnavailableError: the storage failed.
        """
        if k < 1 or not query.strip():
            return []
        vector = as_array(await self._embedder.embed([query], purpose="query"))[0]
        shelves = await self._look_in(domains, vector, filters)
        found = await asyncio.gather(
            *(shelf.search(query, vector, k=k, filters=filters, weights=self._weights) for shelf in shelves)
        )
        merged = sorted((one for some in found for one in some), key=lambda one: -one.score)
        if self._reranker is not None:
            merged = await reranked(self._reranker, query, merged[: max(k, _RERANKED)])
        return merged[:k]

    async def _look_in(
        self, domains: Sequence[str], vector: NDArray[np.float32], filters: Filters | None
    ) -> list[Shelf]:
        """The domains that were named, or those that the query is about and whose fields are filtered by."""
        if domains:
            named = [await self._shelf(self._known(name)) for name in dict.fromkeys(domains)]
            return [shelf for shelf in named if shelf is not None]
        there = [name for name in await self._tables.names() if name in self.domains]
        able = [name for name in there if set(filters or {}) <= set(kinds(self.domains[name]))]
        if there and not able:
            # Says which field it is that none of them has.
            predicate(self.domains[there[0]], filters)
        shelves = {name: await self._shelf(self.domains[name]) for name in able}
        opened = {name: shelf for name, shelf in shelves.items() if shelf is not None}
        profiles = {
            name: await self._profiles.of(shelf.domain, shelf.table) for name, shelf in opened.items()
        }
        return [opened[name] for name in routed(vector, profiles)]

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def write(self, domain: str, units: Sequence[Unit], replaced: Sequence[str] = ()) -> None:
        """Keep units; all others of the sources `replaced` go in the same commit. On return it is committed.

        Raises:
            UnknownDomainError: the domain is not known.
            EmbedderMismatchError: the vectors that are kept are of another embedder.
            ModelUnavailableError: the embedder failed.
            KnowledgeUnavailableError: the storage failed; nothing of this call is there.
        """
        shelf = await self._shelf(self._known(domain), create=True)
        assert shelf is not None  # noqa: S101  # it was asked for
        if units:
            made = batch(units, await unit_vectors(self._embedder, units), shelf.table.layout)
            await self._writer(domain, shelf).write(made, replaced)
        elif replaced:
            await self._writer(domain, shelf).delete(replaced)

    async def put_in_order(self, domain: str) -> None:
        """Do now what is otherwise done every so many commits: indexes, fragments, old versions.

        Raises:
            UnknownDomainError: the domain is not known.
            KnowledgeUnavailableError: the storage failed.
        """
        shelf = await self._shelf(self._known(domain))
        if shelf is not None:
            await self._writer(domain, shelf).put_in_order()

    async def forget(self, domain: str, sources: Sequence[str]) -> None:
        """Erase sources for good: their rows, what indexes hold of them, and every older version. None can be undone.

        Nobody else may be using this domain meanwhile: readers of older versions fail.

        Raises:
            UnknownDomainError: the domain is not known.
            KnowledgeUnavailableError: the storage failed; ask again, for what is left may still be read.
        """
        shelf = await self._shelf(self._known(domain))
        if shelf is not None:
            await self._tables.unstage(shelf.domain)  # a vector tells of its text
            await erase(shelf.table, self._writer(domain, shelf), shelf.domain, sources)

    async def sources(self, domain: str) -> Mapping[str, str]:
        """Every source that is kept, with the digest of what was read."""
        shelf = await self._shelf(self._known(domain))
        return {} if shelf is None else await shelf.table.digests()

    async def ingest(
        self,
        *origins: str | Path,
        domain: str = "general",
        metadata: ingest.Metadata | None = None,
        on_progress: Callable[[ingest.Progress], None] | None = None,
        fetch: ingest.Fetch | None = None,
        reader: Reader = "built-in",
        remove_missing: bool = False,
    ) -> ingest.IngestReport:
        """Read folders, files and web addresses. What has not changed since is not read again; a run that was killed
        goes on where it ended. No file stops the run: what cannot be read is in the report, with the reason.

        Args:
            origins: Folders (with all below them), files, `http://` and `https://` addresses, archives.
            domain: Where to keep it, which says how it is cut.
            metadata: For every source, or made from its name; fields of the domain can be filtered by.
            on_progress: Called after every file, in this task.
            fetch: Gets the content of an address; the standard library's client if none is given.
            reader: `docling` (extra `[docling]`) reads PDF, office files and pictures better, in seconds a page.
            remove_missing: Sources that stood below one of the folders and are gone, go here too.

        Raises:
            UnknownDomainError: the domain is not known.
            ConfigurationError: the reader is not installed, or there is none of that name.
            EmbedderMismatchError: the vectors that are kept are of another embedder.
            ModelUnavailableError: the embedder failed; what was committed is kept.
            KnowledgeUnavailableError: the storage failed; what was committed is kept.
        """
        check_reader(reader)
        shelf = await self._shelf(self._known(domain), create=True)
        assert shelf is not None  # noqa: S101  # it was asked for
        known = dict.fromkeys(await shelf.table.sources(), "") | await shelf.table.digests()
        before = await shelf.table.version()
        report = await ingest.ingested(
            self,
            shelf.domain,
            origins,
            known,
            metadata=metadata or {},
            on_progress=on_progress,
            fetch=fetch,
            reader=reader,
            remove_missing=remove_missing,
        )
        if await shelf.table.version() == before:
            return report
        await self._writer(domain, shelf).index_many()
        await asyncio.to_thread(give_back)
        return msgspec.structs.replace(report, version=await marked(shelf.table))

    # ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def versions(self, domain: str) -> Sequence[Version]:
        """What can be gone back to, the oldest first."""
        shelf = await self._shelf(self._known(domain))
        return [] if shelf is None else await listed(shelf.table)

    async def diff(self, domain: str, old: str, new: str | None = None) -> Difference:
        """Which sources changed from version `old` to `new`, or to now.

        Raises:
            UnknownDomainError: the domain is not known.
            KnowledgeVersionError: there is no such version.
        """
        return await difference((await self._there(domain, old)).table, domain, old, new)

    async def roll_back(self, domain: str, version: str) -> str:
        """Make a domain what it was; returns the name of the version that this makes.

        Raises:
            UnknownDomainError: the domain is not known.
            KnowledgeVersionError: there is no such version.
        """
        return await rolled_back(self._writer(domain, await self._there(domain, version)), domain, version)

    async def _there(self, domain: str, version: str) -> Shelf:
        shelf = await self._shelf(self._known(domain))
        if shelf is None:
            raise KnowledgeVersionError(domain, version, ())
        return shelf

    async def reembed(self, domain: str, *, on_progress: OnProgress | None = None) -> int:
        """Make all vectors of a domain anew with this knowledge base's embedder; returns how many.

        The texts are kept as they are, so no file is read again, and some thousand are in memory at a time. Until it is
        done, searches find what there was and writes wait. Killed or failed in between, the next call goes on with the
        vectors that were made, which lie beside the table until then. Other processes may not write meanwhile: that
        would be lost.

        Args:
            domain: Which one.
            on_progress: Called with how many are made and how many there will be, in this task.

        Raises:
            UnknownDomainError: the domain is not known.
            ModelUnavailableError: the embedder failed; nothing has changed.
            KnowledgeUnavailableError: the storage failed or is full; nothing has changed, or all but the indexes has,
                which are made when the domain is next opened.
        """
        known = self._known(domain)
        if domain not in await self._tables.names():
            return 0
        if (count := await finished(self._tables, known, self._embedder)) is not None:
            return count
        shelf = None
        with contextlib.suppress(EmbedderMismatchError):  # then nobody can write with this embedder either
            shelf = await self._shelf(known)
        async with contextlib.nullcontext() if shelf is None else self._writer(domain, shelf).stopped():
            return await embedded_again(self._tables, known, self._embedder, on_progress)

    # ── going elsewhere ──────────────────────────────────────────────────────────────────────────────────────────

    async def export_domains(
        self, folder: str | Path, *, form: Format = "jsonl"
    ) -> tuple[ExportedDomain, ...]:
        """As `export`, but for the manifest.

        Raises:
            UnknownDomainError: something is kept of a domain that this knowledge base was not opened with.
            KnowledgeUnavailableError: the storage failed.
            OSError: a file cannot be written.
        """
        return await export_domains(self._tables, self.domains, Path(folder), form)

    async def export(self, folder: str | Path, *, form: Format = "jsonl") -> Manifest:
        """Write all passages with their vectors, and the settings of their domains, into a folder.

        Raises: as `export_domains`.
        """
        manifest = with_knowledge(form, {}, await self.export_domains(folder, form=form))
        await asyncio.to_thread(write_manifest, Path(folder), manifest)
        return manifest

    async def restore(self, folder: str | Path) -> int:
        """Import the knowledge of an export, whatever else is in it; returns how many passages. All or nothing.

        Raises:
            ImportFormatError: it is no export, or of a domain that is not known here or holds something already.
            KnowledgeUnavailableError: the storage failed.
        """
        manifest = await asyncio.to_thread(manifest_of, Path(folder))
        for one in manifest.knowledge:  # an empty table makes room for another
            self._let_go(one.domain.name)
        return await restore_domains(self._tables, self.domains, Path(folder), manifest)

    # ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _known(self, name: str) -> Domain:
        if name not in self.domains:
            raise UnknownDomainError(name, self.domains)
        return self.domains[name]

    def _writer(self, domain: str, shelf: Shelf) -> BatchingWriter:
        return self._writers.setdefault(domain, BatchingWriter(shelf.table))

    def _let_go(self, domain: str) -> None:
        self._shelves.pop(domain, None)
        self._writers.pop(domain, None)

    async def _shelf(self, domain: Domain, *, create: bool = False) -> Shelf | None:
        async with self._opening:
            if domain.name not in self._shelves:
                if domain.name in await self._tables.names():
                    table = await self._tables.open(domain.name)
                elif create:
                    table = await self._tables.create(
                        domain, dimensions=self._embedder.dimensions, embedder=self._embedder.name
                    )
                else:
                    return None
                check_embedder(f"{self.where}/{domain.name}", domain, table.recorded, self._embedder)
                # Another process may just be doing it; and without indexes a search finds the same, slower.
                with contextlib.suppress(KnowledgeUnavailableError):
                    await self._tables.finish(domain, table)
                if self._weights.unit:
                    await table.index_units(domain)
                self._shelves[domain.name] = Shelf(domain, table)
            return self._shelves[domain.name]

    async def aclose(self) -> None:
        """Wait for what is being written, and let go of the tables; the embedder is the caller's. May be called twice."""
        for writer in self._writers.values():
            await writer.aclose()
        for shelf in self._shelves.values():
            shelf.table.close()
        self._shelves, self._writers = {}, {}
        self._tables.close()
