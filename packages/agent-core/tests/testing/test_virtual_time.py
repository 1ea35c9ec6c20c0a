"""Virtual time: waiting takes none, the seed decides who goes first, and asyncio's own promises are kept."""

import asyncio
import time

import anyio
import pytest

from agent_core.testing import LoopClock, StalledError, VirtualEventLoop, virtual_time

YEAR_S = 365 * 86_400.0


def run(main, seed=0):
    return anyio.run(main, backend_options=virtual_time(seed))


def test_a_year_passes_at_once():
    async def main():
        clock = LoopClock(began_at=100.0)
        await clock.sleep(YEAR_S)
        await anyio.sleep(1)
        return clock.now(), anyio.current_time()

    began = time.process_time()
    assert run(main) == (100.0 + YEAR_S + 1, YEAR_S + 1)
    assert time.process_time() - began < YEAR_S / 1_000_000


def test_deadlines_are_virtual():
    async def main():
        with anyio.move_on_after(3_600) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return anyio.current_time()

    assert run(main) == 3_660


def test_where_no_time_is_left_nothing_begins():
    """A checkpoint in a scope whose deadline has passed is cancelled, as on every loop."""

    async def main():
        with anyio.move_on_after(0):
            await anyio.lowlevel.checkpoint()
            return "began"
        return "nothing"

    assert {run(main, seed) for seed in range(50)} == {"nothing"}


def order(seed, steps=3):
    said = []

    async def say(name):
        for step in range(steps):
            said.append((name, step))
            await anyio.lowlevel.checkpoint()

    async def main():
        async with anyio.create_task_group() as tasks:
            for name in range(4):
                tasks.start_soon(say, name)

    run(main, seed)
    return tuple(said)


def test_the_seed_decides_who_goes_first():
    orders = {seed: order(seed) for seed in range(40)}
    assert len(set(orders.values())) > 20
    assert {seed: order(seed) for seed in range(40)} == orders
    assert {said[0][0] for said in orders.values()} == {0, 1, 2, 3}
    for said in orders.values():
        assert sorted(said) == [(name, step) for name in range(4) for step in range(3)]
        assert all([step for name, step in said if name == one] == [0, 1, 2] for one in range(4))


def test_nobody_starves():
    async def main():
        done = anyio.Event()

        async def spin():
            while not done.is_set():
                await anyio.lowlevel.checkpoint()

        async def finish():
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            done.set()

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(spin)
            tasks.start_soon(finish)

    for seed in range(40):
        run(main, seed)


def test_a_callback_goes_before_the_steps_that_become_ready_after_it():
    async def main():
        said = []
        loop = asyncio.get_running_loop()
        loop.call_soon(said.append, 1)
        loop.call_soon(said.append, 2)
        loop.call_soon_threadsafe(said.append, 3)
        await asyncio.sleep(0)
        return said

    assert all(run(main, seed) == [1, 2, 3] for seed in range(20))


def test_a_cancelled_timer_moves_no_time():
    async def main():
        asyncio.get_running_loop().call_later(500, print).cancel()
        await anyio.sleep(1)
        return anyio.current_time()

    assert run(main) == 1


def test_waiting_for_what_never_comes_is_an_error():
    with pytest.raises(StalledError, match=r"at 5\.000 s of virtual time"):
        run(_stalled)


async def _stalled():
    await anyio.sleep(5)
    await asyncio.get_running_loop().create_future()


def test_going_in_circles_is_an_error():
    async def main():
        await anyio.sleep(3)
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(StalledError, match=r"at 3\.000 s of virtual time more than 500 steps"):
        anyio.run(main, backend_options=virtual_time(max_steps_at_once=500))


def test_the_loop_counts_its_steps_and_can_be_used_without_anyio():
    loop = VirtualEventLoop(seed=3)
    try:
        assert loop.run_until_complete(asyncio.sleep(7, "slept")) == "slept"
        assert loop.time() == 7
        assert loop.steps > 0
    finally:
        loop.close()


def test_a_generator_that_is_left_is_closed():
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def main():
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    run(main)
    assert closed == [True]
