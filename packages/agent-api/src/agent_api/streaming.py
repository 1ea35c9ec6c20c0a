"""The events of a run for clients: from the journal first, then live. No gap, no repeat; a hint may be lost."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager

import anyio
import msgspec

from agent_api.wire.events import delta_frame, delta_line, event_frame, event_line
from agent_core.chat import Delta
from agent_core.feed import Feed
from agent_core.ports import Journal, StoredEvent
from agent_core.state import RunState
from agent_core.transitions import evolve

PING_S = 15.0
POLL_S = 1.0
"""How often the journal is looked at for a run that another process drives."""


class Broadcast:
    """An observer that passes on to whoever watches a run at this moment."""

    def __init__(self) -> None:
        self._feeds: defaultdict[str, set[Feed]] = defaultdict(set)
        self._shut_down = anyio.Event()

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Pass on an event."""
        for feed in self._feeds.get(stored.run_id, ()):
            feed.on_event(stored, state)

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Pass on a delta."""
        for feed in self._feeds.get(run_id, ()):
            feed.on_delta(run_id, delta)

    def release(self, run_id: str) -> None:
        """Nobody drives the run here any more: those who watch it look at the journal again."""
        for feed in self._feeds.get(run_id, ()):
            feed.close()

    def shut_down(self) -> None:
        """The daemon is going: every stream ends, and its client comes back with the number it has."""
        self._shut_down.set()
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.close()

    @property
    def is_shut_down(self) -> bool:
        """Whether the daemon is going."""
        return self._shut_down.is_set()

    async def wait_shut_down(self) -> None:
        """Wait until the daemon goes."""
        await self._shut_down.wait()

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._feeds.values()))

    @contextmanager
    def watching(self, run_id: str) -> Generator[Feed]:
        """A feed of what happens from now on."""
        feed = Feed()
        self._feeds[run_id].add(feed)
        try:
            yield feed
        finally:
            self._feeds[run_id].discard(feed)
            if not self._feeds[run_id]:
                del self._feeds[run_id]


async def event_stream(
    journal: Journal, broadcast: Broadcast, run_id: str, *, after: int = 0
) -> AsyncIterator[bytes]:
    """Server-sent events of a run behind number `after`, until it is over. A comment every 15 s keeps it open."""
    async for frame in _followed(journal, broadcast, _Follower(run_id, after, SSE)):
        yield frame


async def event_lines(
    journal: Journal, broadcast: Broadcast, run_id: str, *, after: int = 0
) -> AsyncIterator[bytes]:
    """The same as lines of JSON, without what only keeps a stream open."""
    async for line in _followed(journal, broadcast, _Follower(run_id, after, LINES)):
        yield line


async def _followed(journal: Journal, broadcast: Broadcast, follower: "_Follower") -> AsyncIterator[bytes]:
    run_id = follower.state.run_id
    idle_s = 0.0
    while True:
        with broadcast.watching(run_id) as feed:
            async for frame in follower.catch_up(journal):
                idle_s = 0.0
                yield frame
            async for frame in follower.live(feed):
                idle_s = 0.0
                yield frame
        if follower.state.is_over:
            return
        if broadcast.is_shut_down:
            yield follower.shape.shutdown
            return
        idle_s += POLL_S
        if idle_s >= PING_S:
            idle_s = 0.0
            if follower.shape.ping:
                yield follower.shape.ping


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream writes what happens."""

    event: Callable[[StoredEvent, RunState], bytes]
    delta: Callable[[Delta], bytes]
    shutdown: bytes
    ping: bytes = b""


SSE = _Shape(
    event=event_frame,
    delta=delta_frame,
    shutdown=b"event: shutdown\nretry: 1000\ndata: {}\n\n",
    ping=b": ping\n\n",
)
LINES = _Shape(event=event_line, delta=delta_line, shutdown=b'{"type":"shutdown"}')


class _Follower:
    """How far one client has come."""

    def __init__(self, run_id: str, after: int, shape: _Shape) -> None:
        self.state = RunState(run_id=run_id)
        self.shape = shape
        self._after = after

    async def catch_up(self, journal: Journal) -> AsyncIterator[bytes]:
        """What the journal has and the client has not."""
        async for stored in journal.read(self.state.run_id, after=self.state.seq):
            self.state = evolve(self.state, stored.event)
            if stored.seq > self._after:
                yield self.shape.event(stored, self.state)

    async def live(self, feed: Feed) -> AsyncIterator[bytes]:
        """What happens now; ends when nothing came for a while or a hint was missed: the journal knows."""
        while not self.state.is_over and (item := await _next(feed)) is not None:
            if not isinstance(item, StoredEvent):
                yield self.shape.delta(item)
            elif item.seq > self.state.seq + 1:
                return
            elif item.seq == self.state.seq + 1:
                self.state = evolve(self.state, item.event)
                if item.seq > self._after:
                    yield self.shape.event(item, self.state)


async def _next(feed: Feed) -> StoredEvent | Delta | None:
    with anyio.move_on_after(POLL_S):
        try:
            return await anext(feed)
        except StopAsyncIteration:
            await anyio.sleep(POLL_S)
    return None
