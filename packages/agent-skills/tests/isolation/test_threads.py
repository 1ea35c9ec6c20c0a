"""Threads of one event loop: answers, bounds, and what is left behind."""

import asyncio
import gc
import threading
from pathlib import Path

import pytest

from agent_skills.isolation.threads import ThreadPool

NAME = "of a test"


@pytest.fixture
async def pool():
    one = ThreadPool(NAME, 2)
    yield one
    one.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # a thread brings it about
            await asyncio.sleep(0.001)


def threads():
    return sum(one.name == NAME for one in threading.enumerate())


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def settled():
    """How many descriptors are open once the pools of other tests are gone."""
    gc.collect()
    await until(lambda: not threads())
    return descriptors()


class Held:
    """A call that goes on until it is let go."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        self.go.wait(60)
        return "held"


async def test_what_a_call_returns_or_raises_comes_back_from_another_thread(pool):
    assert await pool.run(threading.get_ident) != threading.get_ident()
    for error in (ZeroDivisionError, SystemExit, KeyError):

        def fail(error=error):
            raise error

        with pytest.raises(error):
            await pool.run(fail)
    with pytest.raises(RuntimeError, match=r"it raised StopIteration\(\)"):
        await pool.run(lambda: next(iter(())))
    assert await pool.run(str) == ""


async def test_threads_are_started_as_they_are_needed_and_no_more_than_there_may_be(pool):
    for _ in range(3):
        await pool.run(str)
    assert threads() == 1
    held = [Held() for _ in range(3)]
    calls = [asyncio.ensure_future(pool.run(one)) for one in held]
    await until(lambda: all(one.begun.is_set() for one in held[:2]))
    assert threads() == 2
    assert not held[2].begun.is_set()
    for one in held:
        one.go.set()
    assert await asyncio.gather(*calls) == ["held"] * 3


async def test_what_nobody_waits_for_any_more_is_not_begun_and_what_was_begun_keeps_its_thread(pool):
    held, never = [Held(), Held()], Held()
    calls = [asyncio.ensure_future(pool.run(one)) for one in (*held, never)]
    await until(lambda: all(one.begun.is_set() for one in held))
    for call in calls:
        call.cancel()
    assert [type(one) for one in await asyncio.gather(*calls, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 3
    waiting = asyncio.ensure_future(pool.run(str))
    await asyncio.sleep(0)
    held[0].go.set()
    assert await waiting == ""
    assert not never.begun.is_set()
    held[1].go.set()


async def test_what_is_to_be_done_afterwards_is_done_behind_the_answer_and_before_the_next_call():
    pool, held, made = ThreadPool(NAME, 1), Held(), []
    assert await pool.run(lambda: "first", held) == "first"
    assert not held.go.is_set()
    second = asyncio.ensure_future(pool.run(lambda: made.append(held.go.is_set())))
    await until(held.begun.is_set)
    held.go.set()
    await second
    assert made == [True]

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pool.run(fail, lambda: made.append("after an error"))
    await pool.run(str)
    assert made == [True, "after an error"]
    pool.close()


async def test_closing_lets_what_was_given_come_to_its_end_and_leaves_nothing_behind():
    before, held = await settled(), Held()
    pool = ThreadPool(NAME, 2)
    calls = [asyncio.ensure_future(pool.run(work)) for work in (held, str, str)]
    await until(held.begun.is_set)
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="ended"):
        await pool.run(str)
    held.go.set()
    assert await asyncio.gather(*calls) == ["held", "", ""]
    del pool
    await until(lambda: not threads() and descriptors() <= before)


async def test_one_that_is_forgotten_leaves_nothing_behind():
    before = await settled()
    pool = ThreadPool(NAME, 2)
    assert await pool.run(str) == ""
    del pool
    gc.collect()
    await until(lambda: not threads() and descriptors() <= before)


def test_one_whose_loop_was_closed_leaves_nothing_behind():
    before, held = descriptors(), Held()

    async def leave_behind():
        pool = ThreadPool(NAME, 2)
        call = asyncio.ensure_future(pool.run(held))
        await until(held.begun.is_set)
        call.cancel()
        return pool

    pool = asyncio.run(leave_behind())
    held.go.set()
    for thread in pool.close():
        thread.join(60)
    del pool, thread
    gc.collect()
    assert not threads()
    assert descriptors() <= before


async def test_a_spare_thread_takes_the_next_call_while_the_last_one_is_cleaned_up():
    pool = ThreadPool(NAME, 2, spare=1)
    is_over = threading.Event()
    try:
        async with asyncio.timeout(60):
            assert await pool.run(lambda: 1, is_over.wait) == 1
            assert await pool.run(lambda: 2) == 2
        assert not is_over.is_set()
    finally:
        is_over.set()
        for thread in pool.close():
            await asyncio.to_thread(thread.join)
