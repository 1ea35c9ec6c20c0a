"""A live feed of one run for an iterating reader: bounded, so that a slow reader loses deltas, never events."""

from collections import deque

import anyio

from agent_core.chat import Delta
from agent_core.ports import StoredEvent
from agent_core.state import RunState

MAX_PENDING_DELTAS = 1_024


class Feed:
    """An observer that can be iterated over, once."""

    def __init__(self) -> None:
        self._pending: deque[StoredEvent | Delta] = deque()
        self._pending_deltas = 0
        self._closed = False
        self._more = anyio.Event()

    def on_event(self, stored: StoredEvent, state: RunState) -> None:  # noqa: ARG002  # the port's signature
        """Queue an event."""
        self._pending.append(stored)
        self._more.set()

    def on_delta(self, run_id: str, delta: Delta) -> None:  # noqa: ARG002  # the port's signature
        """Queue a delta, or drop it where too many wait."""
        if self._pending_deltas < MAX_PENDING_DELTAS:
            self._pending_deltas += 1
            self._pending.append(delta)
            self._more.set()

    def close(self) -> None:
        """No more is coming: the iterator ends once it has given what waits."""
        self._closed = True
        self._more.set()

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> StoredEvent | Delta:
        """The next item. Cancelling the wait loses nothing."""
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._more = anyio.Event()
            await self._more.wait()
        item = self._pending.popleft()
        if not isinstance(item, StoredEvent):
            self._pending_deltas -= 1
        return item
