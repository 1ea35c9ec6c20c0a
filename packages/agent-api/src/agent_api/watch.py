"""What happens to a tenant's runs, told to its records: which sessions are used, and what webhooks are owed.

A runner calls the watch and is never held up: what it saw is written a moment later, many runs in one commit. What a crash, a
full disk or another process kept from it is found in the journal again: the same words are then written once, by their ids.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import blake2b
from typing import TypeAlias

import anyio
import msgspec

from agent_api import sessions
from agent_api.a2a import pushes
from agent_api.webhooks import outbox
from agent_core import events as ev
from agent_core.chat import Delta
from agent_core.errors import AgentError
from agent_core.ports import Journal, RunHead, StoredEvent
from agent_core.runner import Runner
from agent_core.state import Phase, RunState
from agent_memory.sqlite_store import SqliteStore

logger = logging.getLogger("agentd")

FLUSH_S = 0.05
RETRY_S = 2.0
MAX_PENDING = 10_000
"""More is not kept in memory while the storage fails: the journal has it."""
LOOK_BACK = 10_000
"""How many runs back the journal is searched."""
OVERLAP_S = 300.0
"""So far before the last word that was written the journal is searched: clocks and commits are not exact."""
_MARK = "followed"
_ENDS = (ev.OutcomeStored, ev.ModelFailed, ev.RunFailed, ev.RunCancelled)

OnOwed: TypeAlias = Callable[[], None]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a run."""

    session_id: str
    began_at: float
    at: float
    news: outbox.News | None = None
    """What webhooks are told; None: that its session is used, no more."""


def seen(stored: StoredEvent, state: RunState) -> Seen | None:
    """What an event of a run comes to, if it comes to anything. A sub-agent's run is told of by the run that called it."""
    if state.parent_id:
        return None
    news = _news(stored.event, state)
    if news is None and stored.seq > 3:  # the first events say that the session is used
        return None
    return Seen(session_id=state.session_id, began_at=state.started_at, at=state.updated_at, news=news)


def _news(event: ev.Event, state: RunState) -> outbox.News | None:
    return None if state.phase is Phase.AWAITING and isinstance(event, ev.COMMANDS) else news_of(state)


def news_of(state: RunState) -> outbox.News | None:
    """What there is to tell of a run as it stands; None: it works."""
    waits = state.phase is Phase.AWAITING
    if not (state.is_over or waits):
        return None
    kind = "run.waiting" if waits else f"run.{state.phase.value}"
    data: dict[str, object] = {
        "run_id": state.run_id,
        "session_id": state.session_id,
        "status": "waiting" if waits else state.phase.value,
        "started_at": state.started_at,
        "updated_at": state.updated_at,
        **({"error": state.error} if state.error else {}),
        **({"limit_reached": state.limit_reached} if state.limit_reached else {}),
    }
    name = f"{state.run_id}:{state.seq}:{kind}"
    return outbox.News(
        message_id=f"msg_{blake2b(name.encode(), digest_size=12).hexdigest()}",
        type=kind,
        at=state.updated_at,
        session_id=state.session_id,
        data=data,
        state=state,
    )


class RunWatch:
    """An observer of a tenant's runner, and the task that writes down what it saw."""

    def __init__(self, records: SqliteStore, *, now: Callable[[], float], on_owed: OnOwed) -> None:
        """`on_owed` is called when there is something to deliver."""
        self._records = records
        self._now = now
        self._on_owed = on_owed
        self._pending: list[Seen] = []
        self._wake = anyio.Event()
        self._is_behind = True

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Note what is worth it."""
        found = seen(stored, state)
        if found is None:
            return
        if len(self._pending) >= MAX_PENDING:
            self._is_behind = True
            return
        self._pending.append(found)
        self._wake.set()

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Deltas are no news."""

    async def keep(self, runner: Runner, journal: Journal) -> None:
        """Write what is seen until cancelled; first, what happened while nobody watched."""
        try:
            while True:
                try:
                    if self._is_behind:
                        self._is_behind = False
                        await self._catch_up(runner, journal)
                    await self.flush()
                except AgentError as error:
                    logger.warning("what runs do is not written down, and will be: %s", error)
                    self._is_behind = True
                    await anyio.sleep(RETRY_S)
                    continue
                await self._wake.wait()
                self._wake = anyio.Event()
                await anyio.sleep(FLUSH_S)
        finally:
            with anyio.CancelScope(shield=True):
                await self._flush_at_last()

    async def flush(self) -> None:
        """Write what was seen so far.

        Raises:
            MemoryUnavailableError: the storage failed; it is kept, and written later.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        now = self._now()
        try:
            owed = await self._records.change(_write, pending, now)
        except AgentError:
            self._pending = pending + self._pending
            raise
        if owed:
            self._on_owed()

    async def _flush_at_last(self) -> None:
        try:
            await self.flush()
        except AgentError as error:
            logger.warning("what runs did is written down at the next start: %s", error)

    async def _catch_up(self, runner: Runner, journal: Journal) -> None:
        since = await self._records.read(_mark) - OVERLAP_S
        told_from = max(since, await self._records.read(outbox.told_from))
        async for head in _heads(journal, since, told_from):
            started, last = head.first.event, head.last.event
            if not isinstance(started, ev.RunStarted) or started.parent_id:
                continue
            found = Seen(session_id=head.session_id, began_at=started.at, at=last.at or started.at)
            if found.at >= told_from and not isinstance(last, ev.COMMANDS[:-1]):
                state = await runner.load(head.run_id)
                found = seen(head.last, state) or found
            self._pending.append(found)
            if len(self._pending) >= MAX_PENDING // 10:
                await self.flush()
        self._pending.sort(key=lambda one: one.at)


async def _heads(journal: Journal, since: float, told_from: float) -> AsyncIterator[RunHead]:
    """The runs that began since, and those of which webhooks may have to be told."""
    async for head in journal.heads(limit=LOOK_BACK):
        if head.first.event.at >= since:
            yield head
        elif told_from == float("inf"):
            return
        elif head.last.event.at >= told_from:
            yield head


def _mark(db: sqlite3.Connection) -> float:
    row = db.execute("SELECT at FROM marks WHERE name = ?", (_MARK,)).fetchone()
    return float(row[0]) if row else 0.0


def _write(db: sqlite3.Connection, pending: Sequence[Seen], now: float) -> int:
    """What was seen, in one transaction; returns how many deliveries are owed for it."""
    for one in pending:
        sessions.used(db, one.session_id, began_at=one.began_at, at=one.at)
    db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_MARK, now))
    news = [one.news for one in pending if one.news is not None]
    return outbox.owe(db, news, now) + pushes.owe(db, news, now)
