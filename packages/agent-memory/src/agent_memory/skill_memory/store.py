"""Skill memory: what tools look like, how they did, what worked and what was learned; on SQLite, searched in memory."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agent_core.embeddings import Embeddings, Purpose
from agent_core.errors import ModelError
from agent_core.ports import Clock, Embedder
from agent_core.state import RunState
from agent_core.system import SystemClock
from agent_core.tools import ToolExample, ToolSpec
from agent_memory.long_term.analysis import Analyzer
from agent_memory.skill_memory import records
from agent_memory.skill_memory.patterns import Call, Pattern, calls_of, pattern_of
from agent_memory.skill_memory.records import LearnedLesson, Statistics
from agent_memory.skill_memory.tool_index import ToolHit, ToolIndex, described
from agent_memory.sqlite_store import SqliteStore

_EMBED_AT_ONCE = 256
_ALIKE_ENOUGH = 0.15
"""How many of their terms a goal and a pattern share at least (cosine)."""


class SkillMemory:
    """Learned procedures. Use it in the event loop (asyncio) that opened it, and close it.

    `async with await SkillMemory.open("skills.db") as skills: ...`
    """

    def __init__(
        self, store: SqliteStore, *, embedder: Embedder | None, clock: Clock, analyzer: Analyzer
    ) -> None:
        """`open` is the way to make one."""
        self.path = store.path
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._analyzer = analyzer
        self._index = ToolIndex(analyzer, embedder.dimensions if embedder else 0)
        self._served: dict[str, list[ToolExample]] = {}

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        embedder: Embedder | None = None,
        language: str = "english",
        clock: Clock | None = None,
        busy_timeout_s: float = 5.0,
    ) -> "SkillMemory":
        """Open the memory at `path`, or create it, and read its tools.

        Args:
            path: The file.
            embedder: Finds tools by meaning too; not closed here. Its vectors are made when opening and not stored.
            language: What the stems are made for, as Snowball names it.
            clock: The time; the system's by default.
            busy_timeout_s: How long a change waits for other processes that write to the same file.

        Raises:
            MemoryVersionError: a newer agent-memory wrote the file.
            MemoryUnavailableError: it cannot be opened or written, is damaged, locked or no skill memory.
        """
        store = await SqliteStore.open(path, records.SCHEMA, busy_timeout_s=busy_timeout_s)
        memory = cls(store, embedder=embedder, clock=clock or SystemClock(), analyzer=Analyzer(language))
        try:
            await memory._index_all()
        except BaseException:
            await store.close()
            raise
        return memory

    async def close(self) -> None:
        """Close the file. A second call does nothing."""
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_tools(self, specs: Sequence[ToolSpec]) -> None:
        """Know these tools; one of the same name is replaced.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        await self._store.change(records.put_tools, specs)
        await self._index_tools(specs)

    async def forget_tools(self, names: Sequence[str]) -> None:
        """Know these tools no longer, nor what they served and how they did; the file keeps no byte of it.

        Raises:
            MemoryUnavailableError: the storage failed; ask again.
        """
        await self._store.change(records.delete_tools, names)
        gone = set(names)
        uses = [one.id for one in await self.all_patterns() if gone & {step.tool for step in one.steps}]
        await self._store.change(records.delete_patterns, uses)
        await self._store.scrub()
        for name in names:
            self._index.remove(name)
            self._served.pop(name, None)

    async def forget(self, containing: str) -> int:
        """Erase for good what was learned in which these words stand, in any case: requests that were served, patterns and
        lessons. Returns how many. How often a tool was called stays counted.

        Raises:
            MemoryUnavailableError: the storage failed; ask again.
        """
        forgotten = await self._store.change(records.delete_containing, containing)
        await self._store.scrub()
        await self._index_all()
        return forgotten

    async def search(self, request: str, *, k: int = 10) -> list[ToolHit]:
        """The tools that fit a request best, by their words, their meaning and what they served before."""
        return self._index.search(request, await self._embed([request], "query"), k)

    def shots(self, tool: str, request: str, *, k: int = 4) -> tuple[ToolExample, ...]:
        """Requests that a tool served well, with the arguments it was given: the most alike first."""
        terms = set(self._analyzer.terms(request))
        mine = self._served.get(tool, [])
        alike = [
            (_alike(terms, set(self._analyzer.terms(one.utterance))), place) for place, one in enumerate(mine)
        ]
        return tuple(mine[place] for _, place in sorted(alike, reverse=True)[:k])

    async def statistics(self) -> list[Statistics]:
        """How every tool did that was ever called, by name."""
        return await self._store.read(records.statistics)

    # ── what runs teach ──────────────────────────────────────────────────────────────────────────────────────────

    async def learn(self, outcome: RunState, *, verified: bool) -> None:
        """Learn from a run: statistics and lessons always, its pattern only where its success was verified.

        Args:
            outcome: The run, at its end. Told of it again, nothing is learned twice.
            verified: Somebody or something looked at the result and it was right: a critic, a test, a person. A run
                that merely ended is no success.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        calls = calls_of(outcome)
        served = await self._store.change(_learn, outcome, calls, verified, self._clock.now())
        for tool, example in served:
            await self._index_served(tool, example)

    async def lessons(self, *, tool: str | None = None, limit: int = 10) -> list[LearnedLesson]:
        """What was rejected, why, and what came right; the lessons learned most often first."""
        return await self._store.read(records.lessons, tool, limit)

    async def patterns(self, goal: str, *, k: int = 3) -> list[Pattern]:
        """The ways that worked for goals like this one, the most alike first."""
        terms = set(self._analyzer.terms(goal))
        scored = [
            (_alike(terms, set(self._analyzer.terms(f"{one.goal} {one.example}"))), one.wins, one.id, one)
            for one in await self.all_patterns()
        ]
        near = sorted((row for row in scored if row[0] >= _ALIKE_ENOUGH), reverse=True)
        return [one for *_, one in near[:k]]

    async def all_patterns(self) -> list[Pattern]:
        """Every pattern, oldest first."""
        return await self._store.read(records.patterns)

    async def pattern_used(self, pattern: Pattern, *, worked: bool) -> bool:
        """Note a use of a pattern. False: it has stopped working, and left.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        return await self._store.change(_used, pattern.key, worked, self._clock.now())

    async def restore(self, folder: Path) -> int:
        """Import an export of `Tenants` into this memory, which holds nothing yet; returns how many rows.

        Raises:
            ImportFormatError: it is no export, or this memory holds something.
            MemoryUnavailableError: the storage failed; nothing was written.
        """
        from agent_memory.export import import_files  # noqa: PLC0415  # it knows the tables of this package

        rows = await import_files(self._store, "skills", folder, self._analyzer)
        await self._index_all()
        return rows

    async def clear(self) -> None:
        """Remove everything: tools, statistics, lessons and patterns.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was removed.
        """
        await self._store.change(records.delete_all)
        await self._index_all()

    # ── the index ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _index_all(self) -> None:
        """Index what is stored, and nothing else."""
        self._index = ToolIndex(self._analyzer, self._embedder.dimensions if self._embedder else 0)
        self._served.clear()
        await self._index_tools(await self._store.read(records.tools))
        for tool, example in await self._store.read(records.served):
            await self._index_served(tool, example)

    async def _index_tools(self, specs: Sequence[ToolSpec]) -> None:
        for start in range(0, len(specs), _EMBED_AT_ONCE):
            some = specs[start : start + _EMBED_AT_ONCE]
            self._index.add(some, await self._embed([described(spec) for spec in some], "document"))

    async def _index_served(self, tool: str, example: ToolExample) -> None:
        kept = [one for one in self._served.get(tool, []) if one.utterance != example.utterance]
        self._served[tool] = [*kept, example][-records.SERVED_AT_MOST :]
        self._index.add_used(tool, example.utterance, await self._embed([example.utterance], "query"))

    async def _embed(self, texts: Sequence[str], purpose: Purpose) -> Embeddings | None:
        """Vectors; None without an embedder, or where it cannot be asked now: words will do."""
        if self._embedder is None:
            return None
        try:
            return await self._embedder.embed(texts, purpose=purpose)
        except ModelError:
            return None


def _learn(
    db: sqlite3.Connection, outcome: RunState, calls: Sequence[Call], verified: bool, at: float
) -> list[tuple[str, ToolExample]]:
    """What one run teaches; returns what its tools served."""
    if not records.begin_run(db, outcome.run_id):
        return []
    records.count(db, calls, at)
    records.put_lessons(db, outcome.lessons, at)
    pattern = pattern_of(outcome, calls, at=at)
    if pattern is None:
        return []
    known = records.pattern(db, pattern.key)
    if not verified:
        if known is not None:
            _used(db, known.key, worked=False, at=at)
        return []
    if known is not None:
        cheaper = known if known.tokens <= pattern.tokens else pattern
        kept = msgspec.structs.replace(known, tokens=cheaper.tokens, cost_usd=cheaper.cost_usd)
        records.put_pattern(db, kept.used(worked=True, at=at))
    else:
        records.put_pattern(db, pattern)
    request = pattern.example
    served = {
        one.call.name: ToolExample(utterance=request, arguments=one.call.arguments)
        for one in calls
        if not one.error
    }
    for tool, example in served.items():
        records.put_served(db, tool, request, example.arguments, at)
    return list(served.items())


def _used(db: sqlite3.Connection, key: str, worked: bool, at: float) -> bool:
    known = records.pattern(db, key)
    if known is None:
        return False
    used = known.used(worked=worked, at=at)
    if used.works:
        records.put_pattern(db, used)
    else:
        records.delete_patterns(db, (known.id,))
    return used.works


def _alike(one: set[str], other: set[str]) -> float:
    return len(one & other) / (len(one) * len(other)) ** 0.5 if one and other else 0.0
