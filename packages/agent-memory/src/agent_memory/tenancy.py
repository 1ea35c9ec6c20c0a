"""Tenants: a folder each, with files of its own. There is no way to a memory but by the name of a tenant.

Nothing is shared, so no filter has to hold tenants apart: a query, an id or an export reaches the files of one folder.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

import anyio
import anyio.to_thread

from agent_core.ports import Clock, Embedder
from agent_memory import export, sqlite
from agent_memory.errors import MemoryUnavailableError
from agent_memory.knowledge.domains import BUILT_IN, Domain
from agent_memory.knowledge.tenants import tenant_address
from agent_memory.long_term import LongTermMemory
from agent_memory.manifest import ExportedDomain, Manifest, manifest_of
from agent_memory.skill_memory import SkillMemory
from agent_memory.table_files import Format

if TYPE_CHECKING:
    from agent_memory.knowledge.lance import LanceKnowledgeBase

_MEMORY, _SKILLS, _KNOWLEDGE = "memory.db", "skills.db", "knowledge"


class TenantMemory:
    """All that is kept of one tenant: open from `Tenants.open` until it is closed."""

    def __init__(
        self,
        name: str,
        folder: Path,
        long_term: LongTermMemory,
        skills: SkillMemory,
        *,
        embedder: Embedder | None,
        domains: Mapping[str, Domain],
    ) -> None:
        """`Tenants.open` is the way to make one."""
        self.name = name
        self.folder = folder
        self.long_term = long_term
        self.skills = skills
        self._embedder = embedder
        self._domains = domains
        self._knowledge: LanceKnowledgeBase | None = None

    async def knowledge(self) -> "LanceKnowledgeBase":
        """The tenant's knowledge bases, opened when first asked for.

        Raises:
            KnowledgeUnavailableError: they cannot be opened.
        """
        from agent_memory.knowledge.lance import LanceKnowledgeBase  # noqa: PLC0415  # heavy

        if self._knowledge is None:
            self._knowledge = await LanceKnowledgeBase.open(
                self.folder / _KNOWLEDGE, tenant=self.name, embedder=self._embedder, domains=self._domains
            )
        return self._knowledge

    async def export(
        self, folder: str | Path, *, form: Format = "jsonl", beside: tuple[ExportedDomain, ...] = ()
    ) -> Manifest:
        """Write everything into a folder, knowledge bases with their vectors; of runs, the journal keeps what they said.

        Args:
            folder: It is made if it is missing.
            form: How the files are written.
            beside: Knowledge that lies elsewhere, which its own export has put into the folder before.

        Raises:
            MemoryUnavailableError: something cannot be read, or the folder not written.
            UnknownDomainError: there is knowledge of a domain that is not among `Tenants(domains=...)`.
            KnowledgeUnavailableError: a knowledge base cannot be read.
        """
        databases = {"memory": self.folder / _MEMORY, "skills": self.folder / _SKILLS}
        knowledge = beside
        if await anyio.Path(self.folder / _KNOWLEDGE).is_dir():
            try:
                knowledge += await (await self.knowledge()).export_domains(folder, form=form)
            except OSError as error:
                raise MemoryUnavailableError(str(folder), sqlite.reason(error)) from error
        return await anyio.to_thread.run_sync(export.export_files, databases, Path(folder), form, knowledge)

    async def close(self) -> None:
        """Close all files. A second call does nothing."""
        await self.long_term.close()
        await self.skills.close()
        if self._knowledge is not None:
            await self._knowledge.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Tenants:
    """The memories of many tenants, below one folder."""

    def __init__(
        self,
        root: str | Path,
        *,
        embedder: Embedder | None = None,
        language: str = "english",
        domains: Mapping[str, Domain] = BUILT_IN,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is opened or written yet.

        Args:
            root: The folder; a tenant's own is made in it when it is first opened.
            embedder: Of all memories; not closed here. None: long-term memory and skills find by words alone.
            language: What the stems are made for, as Snowball names it.
            domains: What knowledge can be kept of: `BUILT_IN`, or what `domains_from` made of settings.
            clock: The time; the system's by default.
        """
        self.root = Path(root)
        self._embedder = embedder
        self._language = language
        self._domains = domains
        self._clock = clock

    def folder(self, tenant: str) -> Path:
        """Where a tenant's files are: different for different names, and never outside of the root.

        Raises:
            ConfigurationError: an empty name, or one that is too long.
        """
        return Path(tenant_address(self.root, tenant))

    async def names(self) -> Sequence[str]:
        """The tenants that have something, sorted."""
        if not await anyio.Path(self.root).is_dir():
            return []
        folders = [entry async for entry in anyio.Path(self.root).iterdir() if await entry.is_dir()]
        return sorted(unquote(folder.name) for folder in folders)

    async def open(self, tenant: str, *, embed_again: bool = False) -> TenantMemory:
        """Open what a tenant has, or begin it.

        Raises:
            ConfigurationError: an empty name, or one that is too long.
            MemoryUnavailableError: a file cannot be opened.
            MemoryVersionError: a newer agent-memory wrote a file.
            EmbedderMismatchError: vectors are of another embedder; `embed_again` makes them anew.
        """
        folder = self.folder(tenant)
        long_term = await LongTermMemory.open(
            folder / _MEMORY,
            embedder=self._embedder,
            embed_again=embed_again,
            language=self._language,
            clock=self._clock,
        )
        try:
            skills = await SkillMemory.open(
                folder / _SKILLS, embedder=self._embedder, language=self._language, clock=self._clock
            )
        except BaseException:
            await long_term.close()
            raise
        return TenantMemory(tenant, folder, long_term, skills, embedder=self._embedder, domains=self._domains)

    async def restore(self, tenant: str, folder: str | Path, *, knowledge: bool = True) -> int:
        """Import an export into a tenant that has nothing yet; returns how many rows.

        If it fails, a new tenant is gone; one that was there has nothing of it, but for knowledge that was whole.

        Args:
            tenant: Made if it is not there.
            folder: What `export` wrote.
            knowledge: False: its knowledge bases lie elsewhere, and are imported there.

        Raises:
            ImportFormatError: it is no export, or the tenant has something already.
            MemoryUnavailableError: a file cannot be written.
            KnowledgeUnavailableError: a knowledge base cannot be written.
        """
        manifest = await anyio.to_thread.run_sync(manifest_of, Path(folder))
        is_new = not await anyio.Path(self.folder(tenant)).is_dir()
        try:
            async with await self.open(tenant) as memory:
                rows = learned = await memory.skills.restore(Path(folder))
                try:
                    if knowledge and manifest.knowledge:
                        rows += await (await memory.knowledge()).restore(folder)
                    rows += await memory.long_term.restore(Path(folder))
                except BaseException:
                    if learned:  # nothing was there before
                        await memory.skills.clear()
                    raise
        except BaseException:
            if is_new:
                await self.erase(tenant)
            raise
        return rows

    async def erase(self, tenant: str) -> bool:
        """Remove a tenant with all its files; close it first. False: there was none.

        Raises:
            ConfigurationError: an empty name, or one that is too long.
            OSError: a file cannot be removed.
        """
        folder = self.folder(tenant)
        if not await anyio.Path(folder).is_dir():
            return False
        await anyio.to_thread.run_sync(shutil.rmtree, folder)
        return True
