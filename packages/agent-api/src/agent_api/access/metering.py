"""What runs spend, for the keys that began them: counted as it happens, and from the journal what a killed daemon had not written."""

from agent_api.access.spending import SpendingBook
from agent_core.chat import Delta
from agent_core.events import ModelTurn, RunStarted
from agent_core.ports import Journal, StoredEvent
from agent_core.state import RunState
from agent_core.transitions import evolve

LOOK_BACK = 1_000
"""So many runs back the journal is searched at least; and as far as runs began in the time that is searched."""
LIST_AT_MOST = 1_000_000


class Meter:
    """An observer that counts the turns of models."""

    def __init__(self, book: SpendingBook) -> None:
        self._book = book

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Count a turn, and that a run is over."""
        is_turn = isinstance(stored.event, ModelTurn)
        if not is_turn and not state.is_over:
            return
        owner = self._book.owner(stored.run_id)
        if owner is None and state.parent_id:
            owner = self._book.inherit(stored.run_id, state.parent_id)
        if owner is None:
            return
        if isinstance(stored.event, ModelTurn):
            tenant, key_id = owner
            self._book.add(tenant=tenant, key_id=key_id, usage=stored.event.usage, at=state.updated_at)
        self._book.counted(stored.run_id, stored.seq, over_at=state.updated_at if state.is_over else None)

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Deltas cost nothing until they are a turn."""


async def catch_up(book: SpendingBook, journal: Journal) -> None:
    """Count what the journal has and the book has not, before a run is driven: a daemon was killed before it wrote it.

    Raises:
        JournalUnavailableError: the journal cannot be read.
    """
    since, meter, seen = book.counts_from(), Meter(book), 0
    async for head in journal.heads(limit=LIST_AT_MOST):
        seen += 1
        last_at = head.last.event.at
        if seen > LOOK_BACK and head.first.event.at < since:
            return
        if last_at and last_at < since:
            continue
        await _own_by_parents(book, journal, head.first)
        counted_to = book.counted_to(head.run_id)
        if book.owner(head.run_id) is None or counted_to >= head.last.seq:
            continue
        state = RunState(run_id=head.run_id)
        async for stored in journal.read(head.run_id):
            state = evolve(state, stored.event)
            if stored.seq > counted_to and state.updated_at >= since:
                meter.on_event(stored, state)


async def _own_by_parents(book: SpendingBook, journal: Journal, first: StoredEvent) -> None:
    """See to it that who called a sub-agent pays for its run."""
    started = first.event
    if not isinstance(started, RunStarted) or not started.parent_id or book.owner(first.run_id) is not None:
        return
    async for parent in journal.read(started.parent_id):
        await _own_by_parents(book, journal, parent)
        book.inherit(first.run_id, started.parent_id)
        return
