"""The long-term memory of one tenant: episodes, facts, preferences and outcomes in one SQLite file.

Nothing waits for a model: adding writes to the disk and returns; vectors, where an embedder is given, are made afterwards
in the background.
"""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from agent_core.embeddings import Embeddings
from agent_core.ports import Clock, Embedder
from agent_core.recollection import without_recalled
from agent_core.state import RunState
from agent_core.system import SystemClock
from agent_memory.long_term import entries, episodes, erasure, facts, outcomes, ranking
from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.episodes import Episode, Filter, NewEpisode
from agent_memory.long_term.erasure import Forgetting, Forgotten
from agent_memory.long_term.facts import Fact
from agent_memory.long_term.indexing import index_anew, is_indexed
from agent_memory.long_term.outcomes import Outcome
from agent_memory.long_term.ranking import Weights
from agent_memory.long_term.recollection import Hit, Why, ask
from agent_memory.sqlite_store import Schema, SqliteStore

if TYPE_CHECKING:
    from agent_memory.long_term.embedding import EpisodeVectors

T = TypeVar("T")

SCHEMA = Schema(
    application_id=0x61676D6C,  # "agml"
    version=1,
    statements=(*episodes.SCHEMA, *facts.SCHEMA, *outcomes.SCHEMA, *entries.SCHEMA),
    full_text=("episode_terms", "fact_terms"),
)
_PAGE = 500


class LongTermMemory:
    """What is kept beyond a session. Use it in the event loop (asyncio) that opened it, and close it.

    `async with await LongTermMemory.open("memory.db") as memory: ...`
    """

    def __init__(
        self,
        store: SqliteStore,
        *,
        vectors: "EpisodeVectors | None",
        clock: Clock,
        analyzer: Analyzer,
        weights: Weights,
    ) -> None:
        """`open` is the way to make one."""
        self.path = store.path
        self.clock = clock
        self._store = store
        self._analyzer = analyzer
        self._weights = weights
        self._vectors = vectors

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        embedder: Embedder | None = None,
        embed_again: bool = False,
        language: str = "english",
        weights: Weights | None = None,
        clock: Clock | None = None,
        busy_timeout_s: float = 5.0,
    ) -> "LongTermMemory":
        """Open the memory at `path`; a missing file is created (mode 0600), as are missing folders (0700).

        Args:
            path: The file.
            embedder: Finds by meaning too; the memory does not close it. None: by words alone.
            embed_again: Throw away the vectors of another embedder and make them again, in the background.
            language: What the stems are made for, as Snowball names it. A file that was written with another is indexed
                anew, once.
            weights: What each signal counts in a ranking.
            clock: The time; the system's by default.
            busy_timeout_s: How long a change waits for other processes that write to the same file.

        Raises:
            MemoryVersionError: a newer agent-memory wrote the file.
            MemoryUnavailableError: it cannot be opened or written, is damaged, locked or no memory.
            EmbedderMismatchError: its vectors are of another embedder.
        """
        analyzer, vectors = Analyzer(language), None
        store = await SqliteStore.open(path, SCHEMA, busy_timeout_s=busy_timeout_s)
        try:
            if not await store.read(is_indexed, analyzer):
                await store.change(index_anew, analyzer)
            if embedder is not None:
                from agent_memory.long_term.embedding import EpisodeVectors  # noqa: PLC0415  # numpy, for who needs it

                vectors = await EpisodeVectors.open(store, embedder, again=embed_again)
        except BaseException:
            await store.close()
            raise
        return cls(
            store,
            vectors=vectors,
            clock=clock or SystemClock(),
            analyzer=analyzer,
            weights=weights or Weights(),
        )

    async def close(self) -> None:
        """Finish what is under way and close the file. A second call does nothing."""
        if self._vectors is not None:
            await self._vectors.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ── episodes ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def add(
        self,
        text: str,
        *,
        session_id: str = "",
        speaker: str = "",
        said_at: float | None = None,
        importance: float = 0.5,
        run_id: str = "",
        key: str | None = None,
    ) -> int | None:
        """Keep what was said. It is on the disk when this returns.

        Args:
            text: What was said; passages marked as recalled are left out.
            session_id: What it belongs to; what stands around it there helps to find it.
            speaker: Who said it.
            said_at: When, in seconds since the epoch; now, if not given.
            importance: 0 to 1; lifts its rank.
            run_id: The run that it comes from.
            key: A name of its own: told again under the same key, nothing is added.

        Returns:
            Its id, or None where nothing of the text was new: it was all recalled, or empty.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        text = without_recalled(text).strip()
        if not text:
            return None
        now = self.clock.now()
        new = NewEpisode(
            text=text,
            session_id=session_id,
            speaker=speaker,
            said_at=now if said_at is None else said_at,
            recorded_at=now,
            importance=importance,
            run_id=run_id,
            key=key,
        )
        row_id = await self._store.change(episodes.insert, self._analyzer, new)
        self._embed_soon()
        return row_id

    async def search(
        self, question: str, *, k: int = 10, only: Filter | None = None, now: float | None = None
    ) -> list[Hit]:
        """The episodes that answer a question best, each with its reasons.

        Args:
            question: As a person asks it; a time that it names ("last March") lifts what was said then.
            k: How many.
            only: Which may be found.
            now: What "last March" is told from; the clock's time, if not given.

        Raises:
            MemoryUnavailableError: the file cannot be read.
        """
        query = ask(question, self.clock.now() if now is None else now, self._analyzer)
        embedded = None if self._vectors is None else await self._vectors.of(query.text)
        found = await self._store.read(self._search, query, only or Filter(), k, embedded)
        return [
            Hit(
                item=episode,
                reason=Why(score=scored.score, signals=scored.signals, terms=scored.terms, span=query.span),
            )
            for scored, episode in found
        ]

    def _search(
        self, db: sqlite3.Connection, query: ranking.Query, only: Filter, k: int, embedded: Embeddings | None
    ) -> list[tuple[ranking.Scored, Episode]]:
        corpus = episodes.corpus(db, query.terms)
        ids = episodes.matches(db, query, only, corpus)
        if query.span is not None:
            ids += episodes.newest(db, only.within(query.span))
        vectors = self._vectors
        if vectors is not None and embedded is not None:
            ids += vectors.nearest(db, embedded)
        if not ids:
            return []
        passages = episodes.passages(db, ids)
        likeness: Mapping[int, float] = {}
        if vectors is not None and embedded is not None:
            likeness = vectors.cosines(embedded, [one.id for one in passages])
        ranked = ranking.rank(query, passages, corpus, likeness, self._weights)
        kept = episodes.get(db, [one.id for one in ranked], None if only == Filter() else only, k)
        scored = [one for one in ranked if one.id in kept][:k]
        return [(one, kept[one.id]) for one in scored]

    async def episodes(self, only: Filter | None = None, *, after_id: int = 0) -> AsyncIterator[Episode]:
        """All episodes that pass, behind an id, in the order in which they were added."""
        while page := await self._store.read(episodes.page, only or Filter(), after_id, _PAGE):
            for episode in page:
                yield episode
            after_id = page[-1].id

    async def by_id(self, ids: Sequence[int]) -> list[Episode]:
        """The episodes of these ids, such as a fact's sources, in their order; without those that are not there."""
        return list((await self._store.read(episodes.get, ids)).values())

    # ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def state(self, fact: Fact) -> Fact:
        """Hold a fact, by the rules of `facts.plan`; `recorded_at` is set to now.

        Returns:
            The fact as it is held: with its id, and merged with an equal one.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        recorded = msgspec.structs.replace(fact, recorded_at=self.clock.now())
        return await self._store.change(facts.state, self._analyzer, recorded)

    async def retract(self, fact_id: int) -> bool:
        """Hold a fact no longer, for it was never true; it is kept as what was once held. False: it was not held."""
        return await self._store.change(facts.retire, (fact_id,), self.clock.now()) > 0

    async def facts(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        *,
        valid_at: float | None = None,
        known_at: float | None = None,
    ) -> list[Fact]:
        """Facts, oldest truth first.

        Args:
            subject: Of this subject.
            predicate: With this predicate.
            valid_at: True at this time; at any, if not given.
            known_at: Held at this time; held now, if not given.
        """
        return await self._store.read(
            facts.select, subject=subject, predicate=predicate, valid_at=valid_at, known_at=known_at
        )

    async def search_facts(
        self, question: str, *, k: int = 10, valid_at: float | None = None, now: float | None = None
    ) -> list[Hit]:
        """The facts that share most with a question: those held and true now, or at `valid_at`, or then when it asks.

        `now`: what "last March" is told from; the clock's time, if not given.
        """
        moment = self.clock.now() if now is None else now
        query = ask(question, moment, self._analyzer)
        if valid_at is None:
            valid_at = moment if query.span is None else min(query.span.end, moment)
        found = await self._store.read(facts.matches, query.terms, valid_at, k)
        return [
            Hit(item=fact, reason=Why(score=score, signals={"terms": score}, sources=fact.sources))
            for score, fact in found
        ]

    # ── preferences and outcomes ─────────────────────────────────────────────────────────────────────────────────

    async def set(self, key: str, value: object) -> None:
        """Keep a value, such as a preference, under a key, in place of the one before. JSON can hold it.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
            TypeError: no JSON can hold the value.
        """
        await self._store.write(entries.PUT, key, msgspec.json.encode(value), self.clock.now())

    def get(self, key: str, type: type[T]) -> T | None:  # noqa: A002  # as msgspec names it
        """The value of a key, or None. Read at once, in this thread: it is one row, by its key.

        Raises:
            MemoryUnavailableError: the file cannot be read.
            msgspec.ValidationError: the value is of another type.
        """
        row = self._store.read_here(entries.GET, key)
        return None if row is None else msgspec.json.decode(row[0], type=type)

    async def values(self, prefix: str = "") -> dict[str, object]:
        """The values of all keys that begin with `prefix`, by key, sorted."""
        return await self._store.read(entries.select, prefix)

    async def record(self, outcome: RunState) -> None:
        """Keep the outcome of a run, and what was asked and answered as two episodes. Told again, nothing is added."""
        known = outcomes.of(outcome)
        now = self.clock.now()
        said = [
            NewEpisode(
                text=text,
                session_id=outcome.session_id,
                speaker=speaker,
                said_at=at,
                recorded_at=now,
                run_id=outcome.run_id,
                key=f"{outcome.run_id}#{speaker}",
            )
            for speaker, words, at in (
                ("user", known.goal, known.started_at),
                ("assistant", known.answer, known.ended_at),
            )
            if (text := without_recalled(words).strip())
        ]
        await self._store.change(_record, self._analyzer, known, said)
        self._embed_soon()

    async def outcomes(self, *, session_id: str | None = None, limit: int = 100) -> list[Outcome]:
        """The outcomes of runs, the latest first; of one session if given."""
        return await self._store.read(outcomes.select, session_id, limit)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def settled(self) -> None:
        """Wait until all that was added has its vector, or the embedder cannot be asked."""
        if self._vectors is not None:
            await self._vectors.settled()

    async def forget(self, what: Forgetting) -> Forgotten:
        """Erase for good: rows, index entries, vectors. The file is written anew, so that no byte of it stays.

        Raises:
            MemoryUnavailableError: the storage failed, or another process is reading the file; ask again.
        """
        if self._vectors is not None:
            await self._vectors.settled()
        forgotten = await self._store.change(erasure.forget, what)
        await self._store.scrub()
        if self._vectors is not None:
            await self._store.read(self._vectors.forget)
        return forgotten

    async def restore(self, folder: Path) -> int:
        """Import an export of `Tenants` into this memory, which holds nothing yet; returns how many rows.

        Raises:
            ImportFormatError: it is no export, or this memory holds something.
            MemoryUnavailableError: the storage failed; nothing was written.
        """
        from agent_memory.export import import_files  # noqa: PLC0415  # it knows the tables of this package

        rows = await import_files(self._store, "memory", folder, self._analyzer)
        self._embed_soon()
        return rows

    def _embed_soon(self) -> None:
        if self._vectors is not None:
            self._vectors.soon()


def _record(db: sqlite3.Connection, analyzer: Analyzer, known: Outcome, said: Sequence[NewEpisode]) -> None:
    outcomes.put(db, known)
    for new in said:
        episodes.insert(db, analyzer, new)
