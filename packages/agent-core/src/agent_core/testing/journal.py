"""A journal in memory: the reference of what a journal does, without what makes one durable."""

from collections.abc import AsyncIterator, Sequence

from agent_core.errors import JournalConflictError, RunNotFoundError
from agent_core.events import Event, RunStarted
from agent_core.ports import RunHead, StoredEvent


class InMemoryJournal:
    """Keeps events in lists. Every call ends without waiting, so appends are atomic by nature."""

    def __init__(self) -> None:
        self.runs: dict[str, list[StoredEvent]] = {}
        self.snapshots: dict[str, tuple[int, bytes]] = {}

    async def append(self, run_id: str, expected_seq: int, events: Sequence[Event], *, writer: str) -> int:
        """Append `events` behind event number `expected_seq`."""
        stored = self.runs.get(run_id)
        seq = 0 if stored is None else len(stored)
        if seq != expected_seq:
            raise JournalConflictError(run_id, expected_seq, seq)
        if stored is None:
            stored = []
            if events:
                self.runs[run_id] = stored
        for event in events:
            seq += 1
            stored.append(StoredEvent(run_id=run_id, seq=seq, event=event, writer=writer))
        return seq

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events of a run behind number `after`."""
        for stored in self.runs.get(run_id, [])[after:]:
            yield stored

    async def heads(self, *, session_id: str | None = None, limit: int = 100) -> AsyncIterator[RunHead]:
        """The newest runs first."""
        heads = [
            RunHead(run_id=run_id, session_id=_session(stored), first=stored[0], last=stored[-1])
            for run_id, stored in reversed(self.runs.items())
        ]
        chosen = [head for head in heads if session_id is None or head.session_id == session_id]
        for head in chosen[:limit]:
            yield head

    async def fork(self, run_id: str, at_seq: int, new_run_id: str) -> None:
        """Copy the first `at_seq` events of a run to a new run."""
        stored = self.runs.get(run_id, [])
        if not 0 < at_seq <= len(stored):
            raise RunNotFoundError(run_id)
        if new_run_id in self.runs:
            raise JournalConflictError(new_run_id, 0, len(self.runs[new_run_id]))
        self.runs[new_run_id] = [
            StoredEvent(run_id=new_run_id, seq=one.seq, event=one.event, writer=one.writer)
            for one in stored[:at_seq]
        ]

    async def save_snapshot(self, run_id: str, seq: int, body: bytes) -> None:
        """Keep a state."""
        self.snapshots[run_id] = (seq, body)

    async def load_snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        """The state that was kept last."""
        return self.snapshots.get(run_id)


def _session(stored: Sequence[StoredEvent]) -> str:
    first = stored[0].event
    return first.session_id if isinstance(first, RunStarted) else ""
