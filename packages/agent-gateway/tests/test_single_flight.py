"""One run for all who ask the same at the same time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import pytest

from agent_gateway.single_flight import Flight, SingleFlight


class Source:
    """Counts how often it ran and how it ended; says a number each time it is let."""

    def __init__(self, count: int = 3, *, fails: bool = False) -> None:
        self.count = count
        self.fails = fails
        self.runs = 0
        self.ended = 0

    async def run(self) -> AsyncGenerator[int]:
        self.runs += 1
        try:
            for number in range(self.count):
                await asyncio.sleep(0.001)
                yield number
            if self.fails:
                raise ValueError("broken")
        finally:
            self.ended += 1


async def everything(stream: AsyncGenerator[int]) -> list[int]:
    async with aclosing(stream) as items:
        return [item async for item in items]


async def test_all_get_everything_from_one_run() -> None:
    source, flights = Source(), SingleFlight[int]()
    found = await asyncio.gather(*(everything(flights.join("k", source.run)) for _ in range(20)))
    assert found == [[0, 1, 2]] * 20
    assert (source.runs, source.ended, len(flights)) == (1, 1, 0)


async def test_another_key_is_another_run() -> None:
    source, flights = Source(), SingleFlight[int]()
    await asyncio.gather(*(everything(flights.join(f"k{n}", source.run)) for n in range(3)))
    assert source.runs == 3


async def test_after_it_has_ended_it_runs_again() -> None:
    source, flights = Source(), SingleFlight[int]()
    for _ in range(2):
        assert await everything(flights.join("k", source.run)) == [0, 1, 2]
        await asyncio.sleep(0)
    assert source.runs == 2


async def test_who_comes_late_gets_it_from_the_start() -> None:
    source, flights = Source(50), SingleFlight[int]()
    first = flights.join("k", source.run)
    assert await anext(first) == 0
    assert await anext(first) == 1
    assert await everything(flights.join("k", source.run)) == list(range(50))
    await first.aclose()
    assert source.runs == 1


async def test_it_goes_on_when_the_first_leaves() -> None:
    source, flights = Source(20), SingleFlight[int]()
    leader, other = flights.join("k", source.run), flights.join("k", source.run)
    await anext(leader)
    await anext(other)
    await leader.aclose()
    assert source.ended == 0
    assert [item async for item in other] == list(range(1, 20))
    assert source.runs == 1


async def test_it_stops_when_the_last_leaves_and_can_begin_anew_at_once() -> None:
    source, flights = Source(10_000), SingleFlight[int]()
    for _ in range(3):
        readers = [flights.join("k", source.run) for _ in range(3)]
        for reader in readers:
            await anext(reader)
        for reader in readers:
            await reader.aclose()
    assert (source.runs, source.ended) == (3, 3)
    await asyncio.sleep(0)
    assert len(flights) == 0


async def test_a_cancelled_reader_leaves_the_others_alone() -> None:
    source, flights = Source(30), SingleFlight[int]()
    found: list[list[int]] = []

    async def stay() -> None:
        found.append(await everything(flights.join("k", source.run)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stay)
        with anyio.move_on_after(0.005):
            await everything(flights.join("k", source.run))
    assert found == [list(range(30))]
    assert source.runs == 1


async def test_the_last_reader_s_cancellation_ends_the_run_before_it_goes_on() -> None:
    source, flights = Source(10_000), SingleFlight[int]()
    with anyio.move_on_after(0.01) as scope:
        await everything(flights.join("k", source.run))
    assert scope.cancelled_caught
    assert source.ended == 1


async def test_an_error_reaches_everybody_after_what_came_before() -> None:
    source, flights = Source(2, fails=True), SingleFlight[int]()

    async def read() -> list[int]:
        stream = flights.join("k", source.run)
        seen = [await anext(stream), await anext(stream)]
        with pytest.raises(ValueError, match="broken"):
            await anext(stream)
        return seen

    assert await asyncio.gather(*(read() for _ in range(3))) == [[0, 1]] * 3


async def test_one_that_is_stopped_before_it_began() -> None:
    source = Source()
    flight = Flight(source.run())
    await flight.stop()
    assert (source.runs, flight.over) == (0, True)
