"""Workers kept warm: who waits, who is refused, and what is started anew."""

import asyncio

import anyio
import msgspec
import pytest

from agent_skills.errors import SkillBusyError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.pool import WorkerPool
from agent_skills.isolation.sandbox import plain

PID = {"function": "os:getpid", "arguments": {}}
PAUSE = {"function": "signal:pause", "arguments": {}}


class Gate:
    """What calls wait for in their workers."""

    def __init__(self, path):
        self._path = path
        stmt = f"while not os.path.exists({str(path)!r}): time.sleep(0.005)"
        arguments = {"stmt": stmt, "setup": "import os, time", "number": 1}
        self.wait = {"function": "timeit:timeit", "arguments": arguments}

    def open(self):
        self._path.touch()


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "open")


@pytest.fixture
async def make():
    made = []

    def make(**options):
        made.append(WorkerPool("pool", plain, **options))
        return made[-1]

    yield make
    for pool in made:
        await pool.aclose()


async def ask(pool, message=PID, timeout_s=20):
    return (await pool.ask(message, name="it", timeout_s=timeout_s))["ok"]


async def test_a_worker_is_used_again_and_a_dead_one_is_replaced(make):
    pool = make()
    first = await ask(pool)
    assert await ask(pool) == first
    with pytest.raises(SkillTimeoutError, match=r"within 0\.05 s"):
        await ask(pool, PAUSE, timeout_s=0.05)
    assert await ask(pool) != first
    with pytest.raises(WorkerDiedError):
        await ask(pool, {"function": "os:abort", "arguments": {}})
    assert await ask(pool)
    assert pool.workers == 1


async def test_fresh_workers_serve_one_call_and_are_started_ahead(make):
    pool = make(calls_per_worker=1)
    first = await ask(pool)
    assert await ask(pool) != first
    with anyio.fail_after(60):
        while not pool.workers:
            await anyio.sleep(0.01)


async def test_calls_wait_for_a_worker_and_too_many_are_refused(make, gate):
    pool = make(size=1, max_waiting=2)
    await ask(pool)
    tasks = [asyncio.ensure_future(ask(pool, gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)  # each has begun: the first has the worker, the others wait
    with pytest.raises(SkillBusyError, match="3 calls of it"):
        await ask(pool)
    gate.open()
    assert len(await asyncio.gather(*tasks)) == 3
    assert await ask(pool)


async def test_waiting_counts_towards_the_deadline(make, gate):
    pool = make()
    await ask(pool)
    long = asyncio.ensure_future(ask(pool, gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(SkillTimeoutError):
        await ask(pool, timeout_s=0.1)
    gate.open()
    assert await long


async def test_a_call_that_is_cancelled_while_it_waits_loses_nobody_a_turn(make, gate):
    pool = make()
    await ask(pool)
    long = asyncio.ensure_future(ask(pool, gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(ask(pool)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[0].cancel()
    gate.open()
    await long
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == results[2] > 0


async def test_a_failing_sibling_costs_nobody_the_result(make, gate):
    pool = make(size=2)
    gate.open()
    tasks = [ask(pool, gate.wait), ask(pool, {"function": "os:abort", "arguments": {}}), ask(pool)]
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert good > 0
    assert isinstance(bad, WorkerDiedError)
    assert other > 0


@pytest.mark.parametrize("warm", [True, False])
async def test_a_pool_that_is_closed_ends_what_runs_what_starts_and_what_waits(make, warm):
    pool = make()
    if warm:
        await ask(pool)
    calls = [asyncio.ensure_future(ask(pool, PAUSE, timeout_s=600)) for _ in range(3)]
    await asyncio.sleep(0)
    await pool.aclose()
    assert not pool.workers
    for one in calls:
        with pytest.raises(WorkerDiedError):
            await one
    with pytest.raises(WorkerDiedError, match="not needed any more"):
        await ask(pool)


async def test_workers_of_a_pool_start_as_it_says(make):
    launch = msgspec.structs.replace(plain(), environment={"ONLY": "this"})
    pool = WorkerPool("own", lambda: launch)
    try:
        message = {"function": "os:getenv", "arguments": {"key": "PATH"}}
        assert await ask(pool, message) is None
    finally:
        await pool.aclose()
    assert isinstance(launch, Launch)
