"""Routes that are asked the same at the same time: the first that says something wins, the others are stopped.

Who takes part, and when, is the router's business. Each stream runs in a task of its own, because a stream may not be
begun in one task and read to its end in another.
"""

from collections.abc import AsyncGenerator

import anyio

from agent_core.errors import ModelError
from agent_gateway.asking import StreamItem
from agent_gateway.single_flight import Flight


class Race:
    """What has come of the routes of one race."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        """Set once there is a winner, or once nobody runs any more."""
        self.winner: AsyncGenerator[StreamItem] | None = None
        self.first: StreamItem | None = None
        """What the winner said first; its stream goes on behind it."""
        self.failures: list[tuple[int, ModelError]] = []
        self._running = 0

    async def run(self, place: int, source: AsyncGenerator[StreamItem]) -> None:
        """Let the route of `place` take part with `source`; returns once it has won, lost or failed."""
        self._running += 1
        flight = Flight(source)
        reader = flight.read()
        try:
            first = await anext(reader)
            if self.winner is None:
                self.winner, self.first = reader, first
        except ModelError as error:
            self.failures.append((place, error))
        finally:
            self._running -= 1
            if self.winner is not reader:
                await flight.stop()
            if self.winner is not None or self._running == 0:
                self.over.set()

    async def abandon(self) -> None:
        """Nobody will read what was won."""
        if self.winner is not None:
            with anyio.CancelScope(shield=True):
                await self.winner.aclose()
