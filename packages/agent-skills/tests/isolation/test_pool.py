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


def nap(seconds):
    arguments = {"stmt": f"time.sleep({seconds})", "setup": "import time", "number": 1}
    return {"function": "timeit:timeit", "arguments": arguments}


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
    with anyio.fail_after(10):
        while not pool.workers:
            await anyio.sleep(0.01)


async def test_calls_wait_for_a_worker_and_too_many_are_refused(make):
    pool = make(size=1, max_waiting=2)
    await ask(pool)
    tasks = [asyncio.ensure_future(ask(pool, nap(0.2))) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(SkillBusyError, match="3 calls of it"):
        await ask(pool)
    assert len(await asyncio.gather(*tasks)) == 3
    assert await ask(pool)


async def test_waiting_counts_towards_the_deadline(make):
    pool = make()
    await ask(pool)
    long = asyncio.ensure_future(ask(pool, nap(0.5)))
    await asyncio.sleep(0.05)
    with pytest.raises(SkillTimeoutError):
        await ask(pool, timeout_s=0.1)
    assert await long


async def test_a_call_that_is_cancelled_while_it_waits_loses_nobody_a_turn(make):
    pool = make()
    await ask(pool)
    long = asyncio.ensure_future(ask(pool, nap(0.2)))
    await asyncio.sleep(0.02)
    waiting = [asyncio.ensure_future(ask(pool)) for _ in range(3)]
    await asyncio.sleep(0.02)
    waiting[0].cancel()
    waiting[0].cancel()
    await long
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == results[2] > 0


async def test_a_failing_sibling_costs_nobody_the_result(make):
    pool = make(size=2)
    tasks = [ask(pool, nap(0.1)), ask(pool, {"function": "os:abort", "arguments": {}}), ask(pool)]
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert good > 0
    assert isinstance(bad, WorkerDiedError)
    assert other > 0


async def test_a_pool_that_is_closed_ends_what_runs(make):
    pool = make()
    running = asyncio.ensure_future(ask(pool, PAUSE))
    await asyncio.sleep(0.3)
    await pool.aclose()
    with pytest.raises(WorkerDiedError):
        await running


async def test_workers_of_a_pool_start_as_it_says(make):
    launch = msgspec.structs.replace(plain(), environment={"ONLY": "this"})
    pool = WorkerPool("own", lambda: launch)
    try:
        message = {"function": "os:getenv", "arguments": {"key": "PATH"}}
        assert await ask(pool, message) is None
    finally:
        await pool.aclose()
    assert isinstance(launch, Launch)
