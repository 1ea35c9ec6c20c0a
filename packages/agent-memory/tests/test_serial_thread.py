import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from agent_memory.serial_thread import Failed, SerialThread


@pytest.fixture
async def thread() -> AsyncGenerator[SerialThread]:
    thread = SerialThread("of a test")
    yield thread
    thread.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # a thread brings it about
        await asyncio.sleep(0.001)


def threads() -> int:
    return sum(one.name == "of a test" for one in threading.enumerate())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_calls_are_made_in_their_order_in_one_other_thread(thread: SerialThread) -> None:
    made: list[tuple[int, int]] = []
    await asyncio.gather(
        *(
            thread.run(lambda number=number: made.append((number, threading.get_ident())))
            for number in range(9)
        )
    )
    assert [number for number, _ in made] == list(range(9))
    (where,) = {where for _, where in made}
    assert where != threading.get_ident()


async def test_what_a_call_returns_or_raises_comes_back(thread: SerialThread) -> None:
    assert await thread.run(divmod, 7, 2) == (3, 1)
    assert await thread.run(int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        await thread.run(divmod, 1, 0)
    assert await thread.run(str, 1) == "1"


async def test_what_came_of_a_call_is_told_in_the_loop(thread: SerialThread) -> None:
    told: list[object] = []
    thread.post(lambda: 1, lambda outcome: told.append((outcome, threading.get_ident())))
    thread.post(lambda: 1 // 0, told.append)
    await until(lambda: len(told) == 2)
    assert told[0] == (1, threading.get_ident())
    assert isinstance(told[1], Failed)
    assert isinstance(told[1].error, ZeroDivisionError)


async def test_what_nobody_waits_for_any_more_is_not_called(thread: SerialThread) -> None:
    held, made = threading.Event(), []
    first = asyncio.create_task(thread.run(held.wait))
    second = asyncio.create_task(thread.run(made.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    held.set()
    assert await first
    await thread.run(made.append, 2)
    assert made == [2]


async def test_a_caller_that_leaves_during_its_call_hinders_nobody(thread: SerialThread) -> None:
    held, begun = threading.Event(), threading.Event()
    first = asyncio.create_task(thread.run(lambda: (begun.set(), held.wait())))
    await until(begun.is_set)
    first.cancel()
    held.set()
    assert await thread.run(str, 1) == "1"
    assert first.cancelled()


async def test_one_that_breaks_in_the_loop_does_not_keep_the_next_from_being_told(
    thread: SerialThread,
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    held = threading.Event()
    first = asyncio.create_task(thread.run(held.wait))
    thread.post(lambda: 0, lambda outcome: 1 // outcome)
    second = asyncio.create_task(thread.run(str, 1))
    await asyncio.sleep(0)
    held.set()
    assert (await first, await second) == (True, "1")


async def test_after_it_was_closed_nothing_is_called_and_nothing_is_left_behind() -> None:
    before = descriptors()
    thread = SerialThread("of a test")
    last = asyncio.create_task(thread.run(str, 1))
    await asyncio.sleep(0)
    thread.close()
    thread.close()
    assert await last == "1"
    with pytest.raises(RuntimeError, match="ended"):
        await thread.run(str, 2)
    await until(lambda: not threads() and descriptors() <= before)


async def test_one_that_is_forgotten_leaves_nothing_behind() -> None:
    before = descriptors()
    thread = SerialThread("of a test")
    assert await thread.run(str, 1) == "1"
    del thread
    gc.collect()
    await until(lambda: not threads() and descriptors() <= before)


def test_one_whose_loop_was_closed_leaves_nothing_behind() -> None:
    before = descriptors()

    async def made() -> SerialThread:
        return SerialThread("of a test")

    thread = asyncio.run(made())
    thread.close()
    for _ in range(1_000):
        if not threads() and descriptors() <= before:
            return
        threading.Event().wait(0.005)
    raise AssertionError("its thread or its eventfd is there still")
