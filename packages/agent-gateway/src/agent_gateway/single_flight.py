"""One run of a stream for all who ask for the same at the same time.

A flight is a task of its own, so whoever began it may leave: it goes on for the others, and ends with the last of them.
That takes asyncio, on which the daemon runs, because anyio has no task without an owner that waits for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


class Flight(Generic[Item]):
    """A stream that runs in a task of its own; what it says is kept for every reader until the last has left."""

    def __init__(self, source: AsyncGenerator[Item], on_end: Callable[[], None] | None = None) -> None:
        """Begin `source`; `on_end` is called when it has ended, however it did."""
        self._items: list[Item] = []
        self._more = asyncio.Event()
        self._readers = 0
        self.ending = False
        """Whether its last reader has left: nobody may join any more."""
        self._task = asyncio.get_running_loop().create_task(self._run(source))
        self._task.add_done_callback(lambda _: self._more.set())
        if on_end is not None:
            self._task.add_done_callback(lambda _: on_end())

    async def _run(self, source: AsyncGenerator[Item]) -> None:
        async with aclosing(source) as items:
            async for item in items:
                self._items.append(item)
                self._more.set()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def read(self) -> AsyncGenerator[Item]:
        """Everything from the start, as it comes; closing the last reader stops the stream."""
        self._readers += 1
        place = 0
        try:
            while True:
                while place < len(self._items):
                    place += 1
                    yield self._items[place - 1]
                if self._task.done():
                    self._task.result()  # raises what the stream raised
                    return
                # Every reader has seen all there is whenever this one has: all of them wait for the same event.
                self._more.clear()
                await self._more.wait()
        finally:
            self._readers -= 1
            if self._readers == 0:
                await self.stop()

    async def stop(self) -> None:
        """End the stream, if it has not ended, and wait until it has."""
        self.ending = True
        self._task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # seen: nobody is left to tell


class SingleFlight(Generic[Item]):
    """The flights under way, by what they were asked for."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[Item]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: str, start: Callable[[], AsyncGenerator[Item]]) -> AsyncGenerator[Item]:
        """The stream of `key`: the one under way, else a new one by `start`."""
        flight = self._flights.get(key)
        if flight is None or flight.ending:
            flight = self._flights[key] = Flight(start(), lambda: self._forget(key))
        async with aclosing(flight.read()) as items:
            async for item in items:
                yield item

    def _forget(self, key: str) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.over:
            del self._flights[key]
