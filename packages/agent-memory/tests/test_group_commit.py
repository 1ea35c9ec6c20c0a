import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from agent_memory.group_commit import GroupCommit
from agent_memory.serial_thread import SerialThread


class Ledger:
    """A commit that can be held up; `batches` records what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def commit(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.open.wait(5)
        if -1 in items:
            raise RuntimeError("broken")
        return [item * 10 if item else ValueError("zero") for item in items]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def commits(ledger: Ledger) -> AsyncGenerator[GroupCommit[int, int]]:
    thread = SerialThread("commits")
    yield GroupCommit[int, int](thread, ledger.commit)
    ledger.open.set()
    thread.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # a thread brings it about
        await asyncio.sleep(0.001)


async def test_what_one_round_of_the_loop_submits_is_one_commit(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    assert await asyncio.gather(*map(commits.submit, (1, 2, 3))) == [10, 20, 30]
    assert ledger.batches == [[1, 2, 3]]


async def test_who_wrote_alone_waits_for_no_round_and_a_crowd_is_together_again_after_one_commit(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    async def write(first: int) -> None:
        for number in range(first, first + 3):
            await commits.submit(number)

    assert await commits.submit(9) == 90
    await asyncio.gather(*map(write, (10, 20, 30)))
    assert ledger.batches == [[9], [10], [20, 30, 11], [21, 31, 12], [22, 32]]


async def test_what_arrives_during_a_commit_shares_the_next(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    ledger.open.clear()
    first = asyncio.create_task(commits.submit(1))
    await until(lambda: ledger.batches)
    others = [asyncio.create_task(commits.submit(item)) for item in (2, 3)]
    await asyncio.sleep(0)
    others.append(asyncio.create_task(commits.submit(4)))
    await asyncio.sleep(0)
    ledger.open.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert ledger.batches == [[1], [2, 3, 4]]


async def test_an_error_is_its_items_alone(commits: GroupCommit[int, int]) -> None:
    one, zero, two = await asyncio.gather(*map(commits.submit, (1, 0, 2)), return_exceptions=True)
    assert (one, two) == (10, 20)
    assert isinstance(zero, ValueError)


async def test_an_item_whose_caller_left_before_its_commit_is_dropped(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    ledger.open.clear()
    first = asyncio.create_task(commits.submit(1))
    await until(lambda: ledger.batches)
    gone, kept = asyncio.create_task(commits.submit(2)), asyncio.create_task(commits.submit(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    ledger.open.set()
    assert await kept == 30
    assert await first == 10
    assert ledger.batches == [[1], [3]]


async def test_a_caller_that_leaves_during_its_commit_hinders_nobody(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    ledger.open.clear()
    tasks = [asyncio.create_task(commits.submit(item)) for item in (1, 2)]
    await until(lambda: ledger.batches)
    tasks[0].cancel()
    ledger.open.set()
    assert await tasks[1] == 20
    assert tasks[0].cancelled()
    assert await commits.submit(3) == 30


async def test_a_commit_that_breaks_its_promise_leaves_nobody_waiting(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    ledger.open.clear()
    broken = asyncio.create_task(commits.submit(-1))
    await until(lambda: ledger.batches)
    behind = asyncio.create_task(commits.submit(1))
    await asyncio.sleep(0)
    ledger.open.set()
    outcomes = await asyncio.gather(broken, behind, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["broken", "broken"]
    assert await commits.submit(2) == 20


async def test_a_commit_that_forgets_an_item_leaves_nobody_waiting() -> None:
    thread = SerialThread("commits")
    commits = GroupCommit[int, int](thread, lambda items: [0] * (len(items) - 1))
    for outcome in await asyncio.gather(*map(commits.submit, (1, 2)), return_exceptions=True):
        assert str(outcome) == "1 outcomes of 2 items"
    thread.close()


async def test_who_comes_after_the_thread_was_closed_is_told(
    commits: GroupCommit[int, int], ledger: Ledger
) -> None:
    commits._thread.close()
    with pytest.raises(RuntimeError, match="ended"):
        await commits.submit(1)


async def test_drained_waits_for_what_is_under_way(commits: GroupCommit[int, int], ledger: Ledger) -> None:
    await commits.drained()
    ledger.open.clear()
    task = asyncio.create_task(commits.submit(1))
    await until(lambda: ledger.batches)
    drained = asyncio.create_task(commits.drained())
    await asyncio.sleep(0.01)
    assert not drained.done()
    ledger.open.set()
    await drained
    assert await task == 10
