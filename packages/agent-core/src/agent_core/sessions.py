"""Order within a session: one drive at a time, the others wait in the order in which they came."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio


class SessionOrder:
    """Turns of the sessions of one process. A session that nobody drives takes no room."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[anyio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, session_id: str) -> AsyncGenerator[bool]:
        """Hold the session for as long as the block lasts; yields whether others had to be waited for."""
        lock, users = self._turns.get(session_id) or (anyio.Lock(fast_acquire=True), 0)
        self._turns[session_id] = (lock, users + 1)
        try:
            async with lock:
                yield users > 0
        finally:
            lock, users = self._turns[session_id]
            if users == 1:
                del self._turns[session_id]
            else:
                self._turns[session_id] = (lock, users - 1)
