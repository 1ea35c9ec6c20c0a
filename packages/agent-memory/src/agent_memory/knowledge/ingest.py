"""From files to a knowledge base: read, cut, embedded and kept, and only what changed since; whatever a file does.

A source whose bytes and cut are the same as those that are kept is not read again, so a run that was killed goes on
where it ended: what had been committed is kept, and the rest is done. Knows no search.
"""

import asyncio
import hashlib
import os
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from agent_core.knowledge import MetadataValue
from agent_memory.errors import ParseError
from agent_memory.knowledge import archives
from agent_memory.knowledge.chunking import units
from agent_memory.knowledge.documents import Document, suffix_of
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.parsing import NOT_READ, Reader, is_for, reading
from agent_memory.knowledge.rows import FORMAT, Unit
from agent_memory.knowledge.worker import worker_of

Metadata: TypeAlias = Mapping[str, MetadataValue] | Callable[[str], Mapping[str, MetadataValue]]
"""The same for every source, or made from the name of each."""
Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]

MAX_FILE_BYTES = 100 << 20
_UNITS_A_WRITE = 4_096
_UNITS_A_COMMIT = 20_000
"""A source of more is kept in several commits, the one that makes it count last."""
_FETCH_TIMEOUT_S = 30.0


class NotKept(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is not in the knowledge base, and why."""

    source: str
    reason: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an ingest is."""

    done: int
    """Files and addresses that are through, whatever became of them."""
    total: int
    source: str
    """The last one."""
    passages: int
    """How many were made so far."""


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every source."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    removed: tuple[str, ...] = ()
    skipped: tuple[NotKept, ...] = ()
    """Empty, too large, or of a kind that holds no text."""
    failed: tuple[NotKept, ...] = ()
    """Damaged, locked, or more than their parser could bear."""
    passages: int = 0
    seconds: float = 0.0
    version: str = ""
    """The name of the version that this made; empty where nothing changed."""


class Shelf(Protocol):
    """What is used of a knowledge base."""

    async def write(self, domain: str, units: Sequence[Unit], replaced: Sequence[str] = ()) -> None:
        """Keep units in place of all others of the sources `replaced`."""
        ...


class _Run:
    """One ingest."""

    def __init__(
        self, kb: Shelf, domain: Domain, known: Mapping[str, str], metadata: Metadata, reader: Reader
    ) -> None:
        self.kb = kb
        self.domain = domain
        self.known = dict(known)
        self.metadata = metadata
        self.reader: Reader = reader
        self.worker = worker_of(reader)
        self.seen: set[str] = set()
        self.added: list[str] = []
        self.changed: list[str] = []
        self.unchanged = 0
        self.skipped: list[NotKept] = []
        self.failed: list[NotKept] = []
        self.passages = 0
        self._waiting: dict[str, list[Unit]] = {}
        self._waiting_units = 0

    async def file(self, source: str, content: bytes) -> None:
        """Do one file, or all that an archive holds."""
        if archives.is_archive(source):
            try:
                async for inner, told in _in_thread(archives.members(source, content)):
                    await self.document(inner, told)
            except ParseError as error:
                self.failed.append(NotKept(source=source, reason=error.reason))
            return
        await self.document(source, content)

    async def document(self, source: str, content: bytes) -> None:
        """Do one document."""
        self.seen.add(source)
        reason = _not_worth_reading(source, content, self.reader)
        if reason:
            self.skipped.append(NotKept(source=source, reason=reason))
            return
        digest = self._digest(source, content)
        if self.known.get(source) == digest:
            self.unchanged += 1
            return
        try:
            document = await self._parse(source, content)
            made = await asyncio.to_thread(self._cut, document, source, digest)
        except ParseError as error:
            self.failed.append(NotKept(source=source, reason=error.reason))
            return
        if not made:
            self.skipped.append(NotKept(source=source, reason="it holds no text"))
            return
        await self._keep(source, made)

    def _digest(self, source: str, content: bytes) -> str:
        by = ("docling",) if is_for(source, self.reader) else ()
        cut = msgspec.json.encode((FORMAT, self.domain.chunking, *by))
        return hashlib.blake2b(
            content, digest_size=16, key=hashlib.blake2b(cut, digest_size=16).digest()
        ).hexdigest()

    async def _parse(self, source: str, content: bytes) -> Document:
        known = reading(source, self.reader)
        if known.in_worker:
            return await self.worker.parse(source, content)
        try:
            return await asyncio.to_thread(known.parser, content, source)
        except (RecursionError, MemoryError, ValueError) as error:
            raise ParseError(
                source, f"its parser failed: {type(error).__name__}: {str(error)[:200]}"
            ) from None

    def _cut(self, document: Document, source: str, digest: str) -> list[Unit]:
        metadata = self.metadata(source) if callable(self.metadata) else self.metadata
        return units(document, self.domain.chunking, source=source, digest=digest, metadata=metadata)

    async def _keep(self, source: str, made: list[Unit]) -> None:
        (self.changed if self.known.get(source) else self.added).append(source)
        self.passages += len(made)
        if len(made) > _UNITS_A_COMMIT:
            await self._keep_much(source, made)
            return
        self._waiting[source] = made
        self._waiting_units += len(made)
        if self._waiting_units >= _UNITS_A_WRITE:
            await self.flush()

    async def _keep_much(self, source: str, made: list[Unit]) -> None:
        """A source counts by its first unit, so that one comes last: half a source is done again."""
        parts = [made[start : start + _UNITS_A_WRITE] for start in range(1, len(made), _UNITS_A_WRITE)]
        await self.kb.write(self.domain.name, parts[0], [source])
        for part in parts[1:]:
            await self.kb.write(self.domain.name, part)
        await self.kb.write(self.domain.name, made[:1])

    async def flush(self) -> None:
        """Write what waits: new sources are added, others take the place of what there was."""
        waiting, self._waiting, self._waiting_units = self._waiting, {}, 0
        new = [unit for source, made in waiting.items() if source not in self.known for unit in made]
        old = [unit for source, made in waiting.items() if source in self.known for unit in made]
        if new:
            await self.kb.write(self.domain.name, new)
        if old:
            await self.kb.write(self.domain.name, old, [source for source in waiting if source in self.known])


async def ingested(
    kb: Shelf,
    domain: Domain,
    origins: Sequence[str | Path],
    known: Mapping[str, str],
    *,
    metadata: Metadata,
    on_progress: Callable[[Progress], None] | None,
    fetch: Fetch | None,
    reader: Reader = "built-in",
    remove_missing: bool,
) -> IngestReport:
    """Read folders, files and addresses into a domain; `known`: the digests of the sources that are kept.

    A digest that is empty says that half of the source is there: it is replaced.
    """
    begun = time.monotonic()
    run = _Run(kb, domain, known, metadata, reader)
    listed = await asyncio.to_thread(lambda: list(_listed(origins)))
    try:
        for number, source in enumerate(listed, start=1):
            await _one(run, source, fetch or fetched)
            if on_progress is not None:
                on_progress(Progress(done=number, total=len(listed), source=source, passages=run.passages))
        await run.flush()
    finally:
        await run.worker.aclose()
    removed = sorted(_missing(run, origins)) if remove_missing else []
    if removed:
        await kb.write(domain.name, [], removed)
    return IngestReport(
        added=tuple(run.added),
        changed=tuple(run.changed),
        unchanged=run.unchanged,
        removed=tuple(removed),
        skipped=tuple(run.skipped),
        failed=tuple(run.failed),
        passages=run.passages,
        seconds=time.monotonic() - begun,
    )


async def _one(run: _Run, source: str, fetch: Fetch) -> None:
    if _is_address(source):
        try:
            content = await fetch(source)
        except (OSError, ValueError) as error:
            run.seen.add(source)
            run.failed.append(NotKept(source=source, reason=f"it cannot be fetched: {error}"))
            return
        await run.file(source, content)
        return
    try:
        found: bytes | None = await asyncio.to_thread(_read, source)
    except OSError as error:
        run.seen.add(source)
        run.failed.append(NotKept(source=source, reason=f"it cannot be read: {error.strerror or error}"))
        return
    if found is None:
        run.seen.add(source)
        run.skipped.append(NotKept(source=source, reason=f"it is larger than {MAX_FILE_BYTES >> 20} MB"))
        return
    await run.file(source, found)


def _listed(origins: Iterable[str | Path]) -> Iterator[str]:
    """Addresses, files, and the files below folders, sorted; what begins with a dot and links are left out."""
    for origin in origins:
        if _is_address(str(origin)) or not Path(origin).is_dir():
            yield str(origin)
            continue
        for folder, folders, names in os.walk(origin):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if not name.startswith(".") and not path.is_symlink() and path.is_file():
                    yield str(path)


def _missing(run: _Run, origins: Sequence[str | Path]) -> Iterator[str]:
    """Sources that are kept, stood below one of the folders, and are not there any more."""
    folders = [f"{str(origin).rstrip('/')}/" for origin in origins if Path(origin).is_dir()]
    for source in run.known:
        if source not in run.seen and any(source.startswith(folder) for folder in folders):
            yield source


def _is_address(origin: str) -> bool:
    return origin.startswith(("http://", "https://"))


def _read(path: str) -> bytes | None:
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            return None
        content = file.read(MAX_FILE_BYTES + 1)
    return content if len(content) <= MAX_FILE_BYTES else None


def _not_worth_reading(source: str, content: bytes, reader: Reader) -> str:
    if not content:
        return "it is empty"
    if suffix_of(source) in NOT_READ and not is_for(source, reader):
        return "files of its kind hold no text"
    return ""


async def _in_thread(found: Iterator[tuple[str, bytes]]) -> AsyncIterator[tuple[str, bytes]]:
    """An iterator that works hard, each step in a thread."""
    while (one := await asyncio.to_thread(next, found, None)) is not None:
        yield one


async def fetched(address: str) -> bytes:
    """What an address gives; pages without an ending are taken for HTML by `named`.

    Raises:
        OSError: it cannot be reached, or is more than `MAX_FILE_BYTES`.
    """
    return await asyncio.to_thread(_get, address)


def _get(address: str) -> bytes:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"{address!r} is no http address")
    asked = urllib.request.Request(address, headers={"User-Agent": "agent-memory"})  # noqa: S310  # http and https alone
    with urllib.request.urlopen(asked, timeout=_FETCH_TIMEOUT_S) as reply:  # noqa: S310
        content: bytes = reply.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"it is larger than {MAX_FILE_BYTES >> 20} MB")
    return content
