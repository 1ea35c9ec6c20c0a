"""The knowledge bases of one tenant: by name, in its data folder or where the settings say. LanceDB is loaded when one is first read or filled.

A name is a domain of agent-memory. Eight are there; any other is made like one of them when it is first filled, and what it
is like is kept in a file of its own. Knows no route and no terminal.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from agent_api.access.keys import DEFAULT_TENANT
from agent_api.errors import NotFoundError, WrongSettingError
from agent_core.errors import ConfigurationError
from agent_core.knowledge import Filters, Passage
from agent_memory import BUILT_IN, Domain

if TYPE_CHECKING:
    from agent_memory import IngestReport, LanceKnowledgeBase, NotKept, Progress
    from agent_memory.manifest import ExportedDomain, Manifest
    from agent_memory.table_files import Format

_OWNER = "own"
"""Tenants are kept apart by their data folders: in each there is one."""
_STORAGES = ("s3://", "gs://", "az://")


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """One knowledge base."""

    name: str
    description: str
    sources: int
    """How many files and addresses are in it."""
    version: str = ""
    """The name of the newest version."""
    updated_at: float = 0.0
    """When it was made, in seconds since the epoch."""


class KnowledgeBases:
    """All that one tenant put in; also the port that `knowledge_search` asks. Belongs to the loop that uses it first."""

    def __init__(
        self, data_path: Path, *, roots: Sequence[Path] = (), at: str = "", tenant: str = DEFAULT_TENANT
    ) -> None:
        """Nothing is opened or made yet.

        Args:
            data_path: The tenant's data folder.
            roots: Folders that sources are named below of, where they lie in them: nobody is shown the path to them.
            at: Where the tables lie, as the setting `knowledge_at` has it; empty: in the data folder.
            tenant: Whose they are: tables that lie elsewhere are below a folder of its name there.

        Raises:
            SettingsError: nothing can lie at `at`.
        """
        self._at = checked_place(at)
        self._owner = tenant if at else _OWNER
        self.folder = data_path / "knowledge"
        self._kinds = self.folder / "kinds"
        self._roots = tuple(root.resolve() for root in roots)
        self._domains: dict[str, Domain] = {}
        self._opened: LanceKnowledgeBase | None = None
        self._opening = anyio.Lock()
        self._writing = anyio.Lock()

    @property
    def _is_begun(self) -> bool:
        """Whether there may be something; what lies elsewhere has to be asked."""
        return bool(self._at) or self.folder.is_dir()

    def uploads(self, name: str) -> Path:
        """Where documents of a base are kept that came without a file."""
        return self.folder / "uploads" / name

    async def bases(self) -> list[Base]:
        """Those that hold something, by name.

        Raises:
            KnowledgeUnavailableError: the storage failed.
        """
        if not self._is_begun:
            return []
        kb = await self._open()
        found: list[Base] = []
        for name, domain in sorted(self._domains.items()):
            sources = await kb.sources(name)
            if sources:
                newest = [*await kb.versions(name)][-1:]
                found.append(
                    Base(
                        name=name,
                        description=domain.description,
                        sources=len(sources),
                        version=newest[0].name if newest else "",
                        updated_at=newest[0].made_at if newest else 0.0,
                    )
                )
        return found

    async def sources(self, name: str) -> list[str]:
        """What is in a base, sorted.

        Raises:
            NotFoundError: there is no such base, or nothing in it.
            KnowledgeUnavailableError: the storage failed.
        """
        return sorted(self._shown(name, source) for source in await self._held(name))

    async def add(
        self,
        name: str,
        origins: Sequence[str | Path],
        *,
        like: str = "",
        on_progress: "Callable[[Progress], None] | None" = None,
        remove_missing: bool = False,
    ) -> "IngestReport":
        """Read folders, files and addresses into a base, and make it where there is none. Ended early and asked again, it
        goes on where it was.

        Args:
            name: The base.
            origins: Folders, files, archives, addresses.
            like: The domain that a new base is like: how it is cut, what it is filtered by. Empty: `general`.
            on_progress: Told after every file.
            remove_missing: What lay below one of the folders and is gone, goes from the base too.

        Raises:
            ConfigurationError: the name is none, or there is no domain for it to be like.
            AgentError: the storage or the embedder failed; what was committed is kept.
        """
        self._reload()
        if name not in self._domains:
            await anyio.to_thread.run_sync(self._make_kind, name, like or "general")
        elif like and not _is_like(self._domains[name], BUILT_IN[_known(like)]):
            raise ConfigurationError(
                f"{name!r} was made like another domain than {like!r}; give it another name"
            )
        kb = await self._open()
        async with self._writing:
            report = await kb.ingest(
                *origins, domain=name, on_progress=on_progress, remove_missing=remove_missing
            )
        return self._told(name, report)

    async def search(
        self, query: str, *, k: int = 10, filters: Filters | None = None, domains: Sequence[str] = ()
    ) -> Sequence[Passage]:
        """The `k` passages that fit best; see `agent_core.ports.KnowledgeBase`.

        Raises:
            NotFoundError: there is no base of that name.
            KnowledgeError: a field to filter by is not known, or the storage failed.
        """
        self._reload()
        for name in domains:
            self._checked(name)
        if not self._is_begun:
            return []
        found = await (await self._open()).search(query, k=k, filters=filters, domains=domains)
        return [
            msgspec.structs.replace(
                one,
                citation=msgspec.structs.replace(
                    one.citation, source=self._shown(one.domain, one.citation.source)
                ),
            )
            for one in found
        ]

    async def remove(self, name: str, sources: Sequence[str] = ()) -> int:
        """Erase sources of a base for good, or all of them; returns how many. A base without sources is none.

        Raises:
            NotFoundError: there is no such base, or one of the sources is not in it.
            KnowledgeUnavailableError: the storage failed; ask again.
        """
        held = {self._shown(name, source): source for source in await self._held(name)}
        missing = [source for source in sources if source not in held]
        if missing:
            raise NotFoundError(f"there is no source {missing[0]!r} in the knowledge base {name!r}")
        going = [held[source] for source in sources] if sources else list(held.values())
        kb = await self._open()
        async with self._writing:
            await kb.forget(name, going)
            await anyio.to_thread.run_sync(self._erase_uploads, name, going)
        return len(going)

    async def export(self, folder: Path, *, form: "Format" = "jsonl") -> "Manifest":
        """Write all bases, passages with their vectors, as files that anything reads.

        Raises:
            ConfigurationError: the folder cannot be written.
            KnowledgeUnavailableError: the storage failed.
        """
        from agent_memory.manifest import with_knowledge, write_manifest  # noqa: PLC0415  # numpy

        manifest = with_knowledge(form, {}, await self.export_bases(folder, form=form))
        await anyio.to_thread.run_sync(write_manifest, folder, manifest)
        return manifest

    async def export_bases(self, folder: Path, *, form: "Format" = "jsonl") -> "tuple[ExportedDomain, ...]":
        """As `export`, into a folder with more in it: what its manifest shall say of the bases.

        Raises: as `export`.
        """
        try:
            await anyio.Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            return await (await self._open()).export_domains(folder, form=form) if self._is_begun else ()
        except OSError as error:
            raise ConfigurationError(
                f"{folder} cannot be written: {error.strerror}; name another folder"
            ) from error

    async def restore(self, folder: Path) -> int:
        """Import the bases of an export, none of which may hold something here; returns how many passages. All or nothing.

        Raises:
            ImportFormatError: it is no export, or one of its bases holds something here.
            KnowledgeUnavailableError: the storage failed.
        """
        from agent_memory.manifest import manifest_of  # noqa: PLC0415  # numpy

        self._reload()
        manifest = await anyio.to_thread.run_sync(manifest_of, folder)
        for one in manifest.knowledge:
            if one.domain.name not in self._domains:
                await anyio.to_thread.run_sync(self._keep_kind, one.domain)
        kb = await self._open()
        async with self._writing:
            return await kb.restore(folder)

    async def aclose(self) -> None:
        """Let go of the files; may be called twice."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.aclose()

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _open(self) -> "LanceKnowledgeBase":
        self._reload()
        async with self._opening:
            if self._opened is None:
                # Seconds on a busy machine: others must not wait for it.
                await anyio.to_thread.run_sync(import_module, "agent_memory.knowledge.lance")
                from agent_memory import LanceKnowledgeBase  # noqa: PLC0415  # heavy

                self._opened = await LanceKnowledgeBase.open(
                    self._at or self.folder, tenant=self._owner, domains=self._domains
                )
            return self._opened

    def _reload(self) -> None:
        """What another process made is known here too; the mapping is the one that the open knowledge base has."""
        self._domains.update(BUILT_IN)
        for path in self._kinds.glob("*.json") if self._kinds.is_dir() else ():
            if path.stem not in self._domains:
                self._domains[path.stem] = msgspec.json.decode(path.read_bytes(), type=Domain)

    def _make_kind(self, name: str, like: str) -> None:
        model = BUILT_IN[_known(like)]
        words = name.replace("_", " ").capitalize()
        self._keep_kind(msgspec.structs.replace(model, name=name, description=f"{words}."))

    def _keep_kind(self, domain: Domain) -> None:
        name = domain.name
        self._kinds.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._kinds / f"{name}.{secrets.token_hex(4)}.part"  # another process may be making it too
        part.write_bytes(msgspec.json.encode(domain))
        part.replace(self._kinds / f"{name}.json")
        self._domains[name] = domain

    def _erase_uploads(self, name: str, sources: Sequence[str]) -> None:
        for source in sources:
            if Path(source).is_relative_to(self.uploads(name)):
                Path(source).unlink(missing_ok=True)

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _checked(self, name: str) -> str:
        if name not in self._domains:
            raise NotFoundError(f"there is no knowledge base {name!r}")
        return name

    async def _held(self, name: str) -> Mapping[str, str]:
        self._reload()
        self._checked(name)
        if not self._is_begun or not (held := await (await self._open()).sources(name)):
            raise NotFoundError(f"there is no knowledge base {name!r}")
        return held

    def _shown(self, name: str, source: str) -> str:
        for root in (self.uploads(name), *self._roots):
            if source.startswith(f"{root}/"):
                return source[len(str(root)) + 1 :]
        return source

    def _told(self, name: str, report: "IngestReport") -> "IngestReport":
        def shown(sources: Sequence[str]) -> tuple[str, ...]:
            return tuple(self._shown(name, source) for source in sources)

        def named(kept_out: "Sequence[NotKept]") -> "tuple[NotKept, ...]":
            return tuple(
                msgspec.structs.replace(one, source=self._shown(name, one.source)) for one in kept_out
            )

        return msgspec.structs.replace(
            report,
            added=shown(report.added),
            changed=shown(report.changed),
            removed=shown(report.removed),
            skipped=named(report.skipped),
            failed=named(report.failed),
        )


def checked_place(at: str) -> str:
    """Where tables may lie.

    Raises:
        WrongSettingError: nothing can lie there.
    """
    if not at or at.startswith(_STORAGES) or Path(at).is_absolute():
        return at
    reason = f"{at!r} is no place; it begins with {', '.join(_STORAGES)} or is an absolute path"
    raise WrongSettingError("knowledge_at", reason)


def _is_like(domain: Domain, model: Domain) -> bool:
    return (domain.chunking, domain.fields) == (model.chunking, model.fields)


def _known(like: str) -> str:
    if like not in BUILT_IN:
        raise ConfigurationError(f"there is no domain {like!r}; there are {', '.join(BUILT_IN)}")
    return like
