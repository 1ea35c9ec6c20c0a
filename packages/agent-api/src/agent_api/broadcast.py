"""What happens in the runs that are driven here, for whoever watches at this moment: encoded once, however many they are.

Nothing here waits for a client: what one has not taken yet lies in its `Reader`, bounded, and is written in one piece.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

import anyio
import msgspec

from agent_api.wire.events import delta_frame, delta_line, event_frame, event_line
from agent_core.chat import Delta
from agent_core.feed import MAX_PENDING_DELTAS, Feed
from agent_core.ports import StoredEvent
from agent_core.state import RunState

PING_S = 15.0
"""How long a connection stays without a word."""
TICK_S = 1.0
"""After how long without anything to write a reader is woken all the same."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream writes what happens."""

    event: Callable[[StoredEvent, RunState], bytes]
    delta: Callable[[Delta], bytes]
    shutdown: bytes
    ping: bytes = b""


SSE = Shape(
    event=event_frame,
    delta=delta_frame,
    shutdown=b"event: shutdown\nretry: 1000\ndata: {}\n\n",
    ping=b": ping\n\n",
)
LINES = Shape(event=event_line, delta=delta_line, shutdown=b'{"type":"shutdown"}')


class Happened(NamedTuple):
    """An event as it is written, with the state that it led to."""

    state: RunState
    written: bytes


class Reader:
    """What one client has not been written yet. A slow one loses deltas, never events."""

    __slots__ = ("_is_closed", "_is_quiet", "_pending", "_pending_deltas", "_timer", "_waiter")

    def __init__(self) -> None:
        self._pending: list[Happened | bytes] = []
        self._pending_deltas = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_quiet = False
        self._is_closed = False

    def event(self, happened: Happened) -> None:
        """Add an event."""
        self._pending.append(happened)
        self._wake()

    def delta(self, written: bytes) -> None:
        """Add a delta, or drop it where too many wait."""
        if self._pending_deltas < MAX_PENDING_DELTAS:
            self._pending_deltas += 1
            self._pending.append(written)
            self._wake()

    def close(self) -> None:
        """Nobody drives the run here any more: only the journal knows more."""
        self._is_closed = True
        self._wake()

    def reopened(self) -> bool:
        """Whether it was closed; from now on it is open again."""
        was_closed, self._is_closed = self._is_closed, False
        return was_closed

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Happened | bytes]:
        """All that is there, in order, once there is any; nothing after a tick, or when it is closed."""
        if not self._pending and not self._is_closed:
            await self._wait()
        taken = self._pending
        if taken:
            self._pending, self._pending_deltas, self._is_quiet = [], 0, False
        return taken

    async def _wait(self) -> None:
        # One timer ticks beside all waits: one for each would cost a fifth of what a delta does.
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(TICK_S, self._tick)
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _tick(self) -> None:
        if self._is_quiet:
            self._wake()
        self._is_quiet = True
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """The client has gone."""
        if self._timer is not None:
            self._timer.cancel()


class _Watchers:
    """Who watches one run."""

    __slots__ = ("feeds", "readers")

    def __init__(self) -> None:
        self.feeds: set[Feed] = set()
        self.readers: dict[Shape, set[Reader]] = {SSE: set(), LINES: set()}

    def __len__(self) -> int:
        return len(self.feeds) + sum(map(len, self.readers.values()))


class Broadcast:
    """An observer that passes on to whoever watches a run at this moment."""

    def __init__(self) -> None:
        self._watchers: dict[str, _Watchers] = {}
        self._driven: dict[str, RunState] = {}
        self._shut_down = anyio.Event()

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Pass on an event."""
        run_id = stored.run_id
        if run_id in self._driven:
            self._driven[run_id] = state
        watchers = self._watchers.get(run_id)
        if watchers is None:
            return
        for feed in watchers.feeds:
            feed.on_event(stored, state)
        for shape, readers in watchers.readers.items():
            if readers:
                happened = Happened(state, shape.event(stored, state))
                for reader in readers:
                    reader.event(happened)

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Pass on a delta."""
        watchers = self._watchers.get(run_id)
        if watchers is None:
            return
        for feed in watchers.feeds:
            feed.on_delta(run_id, delta)
        for shape, readers in watchers.readers.items():
            if readers:
                written = shape.delta(delta)
                for reader in readers:
                    reader.delta(written)

    def begin(self, state: RunState) -> None:
        """Take note that this process drives a run; where its state is not known yet, it is one without events."""
        self._driven[state.run_id] = state

    def driven(self, run_id: str) -> RunState | None:
        """The last state of a run that this process drives; None: it does not."""
        return self._driven.get(run_id)

    def release(self, run_id: str) -> None:
        """Nobody drives the run here any more: those who watch it look at the journal again."""
        self._driven.pop(run_id, None)
        self._close(self._watchers.get(run_id))

    def shut_down(self) -> None:
        """The daemon is going: every stream ends, and its client comes back with the number it has."""
        self._shut_down.set()
        for watchers in self._watchers.values():
            self._close(watchers)

    @property
    def is_shut_down(self) -> bool:
        """Whether the daemon is going."""
        return self._shut_down.is_set()

    async def wait_shut_down(self) -> None:
        """Wait until the daemon goes."""
        await self._shut_down.wait()

    def _close(self, watchers: _Watchers | None) -> None:
        if watchers is None:
            return
        for feed in watchers.feeds:
            feed.close()
        for readers in watchers.readers.values():
            for reader in readers:
                reader.close()

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._watchers.values()))

    @contextmanager
    def watching(self, run_id: str) -> Generator[Feed]:
        """A feed of what happens from now on."""
        feed, watchers = Feed(), self._watchers.setdefault(run_id, _Watchers())
        watchers.feeds.add(feed)
        try:
            yield feed
        finally:
            watchers.feeds.discard(feed)
            self._forget(run_id, watchers)

    @contextmanager
    def reading(self, run_id: str, shape: Shape) -> Generator[Reader]:
        """The same, as it is written."""
        reader, watchers = Reader(), self._watchers.setdefault(run_id, _Watchers())
        watchers.readers[shape].add(reader)
        try:
            yield reader
        finally:
            reader.stop()
            watchers.readers[shape].discard(reader)
            self._forget(run_id, watchers)

    def _forget(self, run_id: str, watchers: _Watchers) -> None:
        if not len(watchers):
            self._watchers.pop(run_id, None)
