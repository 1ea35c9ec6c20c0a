"""Imports and exports of one tenant over HTTP: what was taken away comes back, all of it or nothing, also over a crash.

What comes in is unpacked into a folder `imports/ID.part`; when all of it is there and can be read, the folder becomes
`imports/ID`, and the import has begun. A daemon that finds such a folder at its start goes on with it. Knows no route.
"""

import logging
import shutil
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup

from agent_api import archives
from agent_api.access.attempt import ONLY, Attempt
from agent_api.access.scopes import Scope
from agent_api.archives import NextPiece
from agent_api.composition import Agent
from agent_api.errors import (
    AlreadyThereError,
    BodyTooLargeError,
    IdempotencyReusedError,
    NotFoundError,
    ScopeMissingError,
    TooManyIngestsError,
)
from agent_api.kept_results import KeptResults
from agent_api.memory import open_memory
from agent_core.errors import AgentError, ConfigurationError
from agent_memory import ImportFormatError, MemoryUnavailableError

if TYPE_CHECKING:
    from agent_memory import TenantMemory
    from agent_memory.manifest import Manifest

logger = logging.getLogger("agentd")

MAX_AT_ONCE = 2
"""Exports that are on the disk until their clients have read them."""
_TOLD = "import.json"


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is."""

    import_id: str
    status: Literal["running", "done", "failed"]
    """`failed`: nothing of it is there."""
    digest: str
    """SHA-256 of the archive that came."""
    rows: int = 0
    """Of the memory: what was said, facts, values, outcomes, and what was learned of skills."""
    passages: int = 0
    """Of knowledge bases."""
    error: str = ""


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of an import before anything of it is there."""

    digest: str
    names: tuple[str, ...]
    """The knowledge bases that it makes: none of them held anything."""


class Imports:
    """Those of one tenant, in the task group that is given."""

    def __init__(self, agent: Agent, tasks: TaskGroup) -> None:
        self._agent = agent
        self._tasks = tasks
        self._folder = agent.data_path / "imports"
        self._out = agent.data_path / "exports"
        self._kept = KeptResults(self._folder, ImportView)
        self._running: dict[str, ImportView] = {}
        self._is_receiving = False
        self._exports: set[Path] = set()

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def known(self, import_id: str) -> ImportView | None:
        """How far one is; None: there is none of that id, or it was over long ago."""
        return self._running.get(import_id) or self._kept.find(import_id)

    def view(self, import_id: str) -> ImportView:
        """The same.

        Raises:
            NotFoundError: there is none of that id, or it was over long ago.
        """
        known = self.known(import_id)
        if known is None:
            raise NotFoundError(f"there is no import {import_id!r}")
        return known

    async def receive(self, next_piece: NextPiece, attempt: Attempt, *, with_knowledge: bool) -> ImportView:
        """Take an archive in and begin to import it; an attempt that is not the first is told how far the import is.

        Args:
            next_piece: Gives the archive.
            attempt: Names the import.
            with_knowledge: Whether there may be knowledge bases in it.

        Raises:
            IdempotencyReusedError: the attempt before this one brought another archive.
            TooManyIngestsError: another import is under way.
            BodyTooLargeError: it is larger than the settings allow.
            ImportFormatError: it is no export that can be read.
            ScopeMissingError: there are knowledge bases in it, and there may be none.
            AlreadyThereError: what it brings is there already.
            MemoryUnavailableError: it cannot be written; nothing of it is kept.
        """
        import_id = attempt.new_id("import")
        body = _Counted(next_piece, self._agent.settings.max_import_bytes)
        if attempt.is_again and (known := self.known(import_id)) is not None:
            while await body.next():
                pass
            if body.digest != known.digest:
                raise IdempotencyReusedError
            return known
        if self._running or self._is_receiving:
            raise TooManyIngestsError(1, "imports")
        self._is_receiving = True
        try:
            return await self._received(body, import_id, with_knowledge=with_knowledge)
        finally:
            self._is_receiving = False

    async def _received(self, body: "_Counted", import_id: str, *, with_knowledge: bool) -> ImportView:
        part = self._folder / f"{import_id}.part"
        try:
            await anyio.to_thread.run_sync(_made_anew, part)
            await archives.unpack(body.next, part)
            manifest = await _read_manifest(part)
            if manifest.knowledge and not with_knowledge:
                raise ScopeMissingError(Scope.KNOWLEDGE_WRITE)
            await self._check(manifest)
            names = tuple(one.domain.name for one in manifest.knowledge)
            told = msgspec.json.encode(_Begun(digest=body.digest, names=names))
            await anyio.Path(part / _TOLD).write_bytes(told)
            await anyio.Path(part).rename(self._folder / import_id)
        except OSError as error:
            raise MemoryUnavailableError(str(part), error.strerror or str(error)) from error
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_gone, part)
        return self._begin(import_id, body.digest)

    async def _check(self, manifest: "Manifest") -> None:
        """Hold that nothing of it is there."""
        held = {base.name for base in await self._agent.knowledge.bases()}
        for one in manifest.knowledge:
            if one.domain.name in held:
                raise AlreadyThereError(f"a knowledge base {one.domain.name!r}")
        if self._agent.memory is not None and _remembers(manifest):
            async for _ in self._agent.memory.long_term.episodes():
                raise AlreadyThereError("something in the memory")

    def _begin(self, import_id: str, digest: str, *, is_again: bool = False) -> ImportView:
        view = ImportView(import_id=import_id, status="running", digest=digest)
        self._running[import_id] = view
        self._tasks.start_soon(self._work, view, is_again)
        return view

    async def resume(self) -> None:
        """Go on with what the last daemon had begun, and clear away what it was taking in or giving out."""

        def left() -> list[tuple[str, _Begun]]:
            _gone(self._out)
            found: list[tuple[str, _Begun]] = []
            for folder in self._folder.iterdir() if self._folder.is_dir() else ():
                if folder.suffix == ".part":
                    _gone(folder)
                elif folder.is_dir():
                    told = (folder / _TOLD).read_bytes()
                    found.append((folder.name, msgspec.json.decode(told, type=_Begun)))
            return found

        for import_id, begun in await anyio.to_thread.run_sync(left):
            self._begin(import_id, begun.digest, is_again=True)

    async def _work(self, view: ImportView, is_again: bool) -> None:
        folder = self._folder / view.import_id
        try:
            async with AsyncExitStack() as stack:
                done = await self._restored(stack, folder, is_again=is_again)
            view = msgspec.structs.replace(view, status="done", rows=done[0], passages=done[1])
        except AgentError as error:
            view = msgspec.structs.replace(view, status="failed", error=str(error))
        except Exception:  # a fault of one import must not end the daemon
            logger.exception("import %s ended by a fault", view.import_id)
            view = msgspec.structs.replace(
                view, status="failed", error="a fault in the daemon; its log says more"
            )
        await anyio.to_thread.run_sync(self._kept.keep, view.import_id, view)
        await anyio.to_thread.run_sync(_gone, folder)
        self._running.pop(view.import_id, None)

    async def _restored(self, stack: AsyncExitStack, folder: Path, *, is_again: bool) -> tuple[int, int]:
        """How many rows of the memory and passages are there now. A daemon that ends in the middle leaves it to the next."""
        begun = msgspec.json.decode(await anyio.Path(folder / _TOLD).read_bytes(), type=_Begun)
        manifest = await _read_manifest(folder)
        passages = sum(one.rows for one in manifest.knowledge)
        try:
            await self._restore_bases(folder, manifest)
            rows = 0
            if _remembers(manifest):
                memory = self._agent.memory
                if memory is None:
                    memory = await stack.enter_async_context(open_memory(self._agent.data_path))
                rows = await _restore_memory(memory, folder, manifest, is_again=is_again)
        except Exception:
            held = {base.name for base in await self._agent.knowledge.bases()}
            for name in begun.names:
                if name in held:
                    await self._agent.knowledge.remove(name)
            raise
        return rows, passages

    async def _restore_bases(self, folder: Path, manifest: "Manifest") -> None:
        """Those that a daemon before this one has not made: each is made in one commit, and none was there."""
        from agent_memory.manifest import write_manifest  # noqa: PLC0415  # numpy

        held = {base.name for base in await self._agent.knowledge.bases()}
        left = tuple(one for one in manifest.knowledge if one.domain.name not in held)
        if not left:
            return
        bases = folder / "bases"
        await anyio.to_thread.run_sync(_made_anew, bases)
        for one in left:
            name = f"{one.file}.{manifest.format}"
            await anyio.Path(bases / name).hardlink_to(folder / name)
        rows = {one.file: one.rows for one in left}
        these = msgspec.structs.replace(manifest, knowledge=left, rows=rows)
        await anyio.to_thread.run_sync(write_manifest, bases, these)
        await self._agent.knowledge.restore(bases)

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def export(self, *, bases: bool) -> "Export":
        """Write an export to the disk, to be given out as an archive.

        Raises:
            TooManyIngestsError: as many as may be are being given out.
            AgentError: something cannot be read, or the export not written.
        """
        if len(self._exports) >= MAX_AT_ONCE:
            raise TooManyIngestsError(MAX_AT_ONCE, "exports")
        folder = self._out / ONLY.new_id("export")
        self._exports.add(folder)
        try:
            await anyio.to_thread.run_sync(_made_anew, folder)
            await self._write(folder, bases=bases)
            paths = sorted([Path(path) async for path in anyio.Path(folder).iterdir()])
            return Export(paths, self._over, folder)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._over, folder)
            if isinstance(error, OSError):
                raise MemoryUnavailableError(str(folder), error.strerror or str(error)) from error
            raise

    async def _write(self, folder: Path, *, bases: bool) -> None:
        knowledge, memory = self._agent.knowledge, self._agent.memory
        if memory is None:
            if not bases:
                raise NotFoundError("this daemon keeps nothing beyond sessions: its setting long_term is off")
            await knowledge.export(folder)
            return
        told = await knowledge.export_bases(folder) if bases else ()
        await memory.export(folder, beside=told)

    def _over(self, folder: Path) -> None:
        _gone(folder)
        self._exports.discard(folder)


class Export:
    """An export that is on the disk until it was given out."""

    def __init__(self, paths: Sequence[Path], over: Callable[[Path], None], folder: Path) -> None:
        self._paths = paths
        # Also where nobody begins to read: its client was gone before the first piece.
        self._over = weakref.finalize(self, over, folder)
        self.size = archives.packed_size(paths)
        """Of the archive, in bytes."""

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The archive; then the export is gone from the disk, also where its client left in the middle."""
        try:
            async for piece in archives.packed(self._paths):
                yield piece
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._over)


class _Counted:
    """A body, as far as it has come: how long it is, and what it is known by."""

    def __init__(self, next_piece: NextPiece, most: int) -> None:
        self._next_piece = next_piece
        self._most = most
        self._size = 0
        self._sum = sha256()

    @property
    def digest(self) -> str:
        return self._sum.hexdigest()

    async def next(self) -> bytes:
        piece = await self._next_piece()
        self._size += len(piece)
        if self._size > self._most:
            raise BodyTooLargeError(self._most, "max_import_bytes")
        self._sum.update(piece)
        return piece


async def _read_manifest(folder: Path) -> "Manifest":
    from agent_memory.manifest import manifest_of  # noqa: PLC0415  # numpy

    try:
        manifest = await anyio.to_thread.run_sync(manifest_of, folder)
    except ConfigurationError as error:  # of a domain that cannot be
        raise ImportFormatError("the archive", str(error)) from error
    if manifest.format != "jsonl":
        raise ImportFormatError("the archive", f"it is of the form {manifest.format}; only jsonl is taken")
    return manifest


def _remembers(manifest: "Manifest") -> bool:
    return any(name.startswith(("memory.", "skills.")) for name in manifest.rows)


async def _restore_memory(
    memory: "TenantMemory", folder: Path, manifest: "Manifest", *, is_again: bool
) -> int:
    """Two changes: what was learned of skills, then all else. Nobody but an import writes the first, so a daemon that goes on
    begins it anew.
    """
    if is_again:
        if await _is_there(memory, manifest):
            return sum(rows for name, rows in manifest.rows.items() if not name.startswith("knowledge."))
        await memory.skills.clear()
    rows = await memory.skills.restore(folder)
    try:
        return rows + await memory.long_term.restore(folder)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await memory.skills.clear()
        raise


async def _is_there(memory: "TenantMemory", manifest: "Manifest") -> bool:
    """Whether the daemon before this one was killed behind the last change: episodes are written in one, with all else."""
    wanted = manifest.rows.get("memory.episodes", 0)
    count = 0
    async for _ in memory.long_term.episodes():
        count += 1
        if count >= wanted:
            break
    return 0 < wanted <= count


def _made_anew(folder: Path) -> None:
    _gone(folder)
    folder.mkdir(parents=True, mode=0o700)


def _gone(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
