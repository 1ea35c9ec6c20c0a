"""The events of a run for clients: from the journal first, then live. No gap, no repeat; a hint may be lost."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from agent_api.broadcast import LINES, PING_S, SSE, TICK_S, Broadcast, Happened, Shape
from agent_api.pieces import Last
from agent_core.errors import RunNotFoundError
from agent_core.ports import Journal
from agent_core.state import RunState
from agent_core.transitions import evolve

PING_TICKS = int(PING_S / TICK_S)
POLL_DRIVEN_TICKS = 5
"""After how many ticks without a word the journal is looked at for a run that is driven here: another process may have cancelled it. For one
that is not, it is at every tick.
"""
PIECE_BYTES = 1 << 16
"""What the journal has is written in pieces of about this much."""


class EventStream:
    """One client that follows one run behind number `after`, until it is over."""

    def __init__(
        self, journal: Journal, broadcast: Broadcast, run_id: str, *, after: int = 0, shape: Shape = SSE
    ) -> None:
        self._journal = journal
        self._broadcast = broadcast
        self._run_id = run_id
        self._after = after
        self._shape = shape
        self._state = RunState(run_id=run_id)
        self._history = self._from_journal()
        self._first: Sequence[bytes] = ()
        self._quiet_ticks = 0

    @property
    def is_over(self) -> bool:
        """Whether what was given last ends the run, so that nothing comes behind it."""
        return self._state.is_over

    async def begin(self) -> None:
        """Read what the journal has at first.

        Raises:
            RunNotFoundError: it knows no such run.
        """
        self._first = await anext(self._history)
        if self._state.seq == 0:
            raise RunNotFoundError(self._run_id)

    async def pieces(self) -> AsyncIterator[Sequence[bytes]]:
        """What happens, in order: each time all that is ready, to be written in one go."""
        with self._broadcast.reading(self._run_id, self._shape) as reader:
            yield self._first
            async for piece in self._history:
                yield piece
            is_behind = not self._is_up_to_date()
            while not self._state.is_over:
                if is_behind:
                    async for piece in self._from_journal():
                        yield piece
                    is_behind = False
                    continue
                if self._broadcast.is_shut_down:
                    yield (self._shape.shutdown,)
                    return
                taken = await reader.take()
                self._quiet_ticks = 0 if taken else self._quiet_ticks + 1
                piece, is_behind = self._live(taken)
                if piece:
                    yield piece
                elif self._shape.ping and self._quiet_ticks % PING_TICKS == PING_TICKS - 1:
                    yield (self._shape.ping,)
                is_behind = reader.reopened() or is_behind or (not taken and self._is_poll_due())

    def _live(self, taken: Sequence[Happened | bytes]) -> tuple[list[bytes], bool]:
        """What of it the client has not, and whether something before it is missing: the journal knows."""
        piece: list[bytes] = []
        for item in taken:
            if isinstance(item, bytes):
                piece.append(item)
            elif item.state.seq > self._state.seq + 1:
                return piece, True
            elif item.state.seq == self._state.seq + 1:
                self._state = item.state
                if self._state.seq > self._after:
                    piece.append(item.written)
        return piece, False

    def _is_up_to_date(self) -> bool:
        driven = self._broadcast.driven(self._run_id)
        return driven is not None and driven.seq == self._state.seq

    def _is_poll_due(self) -> bool:
        return self._broadcast.driven(self._run_id) is None or self._quiet_ticks % POLL_DRIVEN_TICKS == 0

    async def _from_journal(self) -> AsyncGenerator[Sequence[bytes]]:
        """What the journal has and the client has not, in pieces; the last may be empty."""
        piece: list[bytes] = []
        size = 0
        async for stored in self._journal.read(self._run_id, after=self._state.seq):
            self._state = evolve(self._state, stored.event)
            if stored.seq > self._after:
                piece.append(self._shape.event(stored, self._state))
                size += len(piece[-1])
                if size >= PIECE_BYTES:
                    yield piece
                    piece, size = [], 0
        yield piece


async def event_stream(
    journal: Journal, broadcast: Broadcast, run_id: str, *, after: int = 0
) -> AsyncIterator[bytes]:
    """Server-sent events of a run behind number `after`, until it is over. A comment every 15 s keeps it open.

    What is ready comes in one piece. When this returns, the first is read.

    Raises:
        RunNotFoundError: the journal knows no such run.
    """
    stream = EventStream(journal, broadcast, run_id, after=after)
    await stream.begin()
    return _joined(stream)


async def _joined(stream: EventStream) -> AsyncIterator[bytes]:
    async for piece in stream.pieces():
        if piece:
            written = piece[0] if len(piece) == 1 else b"".join(piece)
            yield Last(written) if stream.is_over else written


async def event_lines(
    journal: Journal, broadcast: Broadcast, run_id: str, *, after: int = 0
) -> AsyncIterator[bytes]:
    """The same as lines of JSON, one at a time, without what only keeps a stream open.

    Raises:
        RunNotFoundError: the journal knows no such run.
    """
    stream = EventStream(journal, broadcast, run_id, after=after, shape=LINES)
    await stream.begin()
    return _each(stream)


async def _each(stream: EventStream) -> AsyncIterator[bytes]:
    async for piece in stream.pieces():
        for line in piece:
            yield line
