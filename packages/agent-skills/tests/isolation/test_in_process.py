"""Deadlines, threads and cancellation."""

import asyncio
import contextlib
import contextvars
import threading

import anyio
import anyio.lowlevel
import pytest

from agent_skills import skill
from agent_skills.errors import SkillBusyError, SkillFailedError, SkillTimeoutError
from agent_skills.isolation.in_process import MAX_THREADS_PER_SKILL, InProcess


@skill(timeout_s=0.05)
async def sleep_for_ever() -> None:
    """Sleep."""
    await anyio.sleep_forever()


@skill(timeout_s=60)
async def sleep_in_time() -> None:
    """Sleep, and be cancelled long before the deadline."""
    await anyio.sleep_forever()


class Blocking:
    """A sync skill that blocks until it is let go."""

    def __init__(self, timeout_s):
        self.go = threading.Event()
        self.begun = self.ended = 0
        self.skill = skill(name="block", timeout_s=timeout_s)(self.block)

    def block(self) -> str:
        """Block."""
        self.begun += 1
        self.go.wait(60)
        self.ended += 1
        return "late"


@pytest.fixture
def blocking():
    made = []

    def make(timeout_s=0.05):
        made.append(Blocking(timeout_s))
        return made[-1]

    yield make
    for one in made:
        one.go.set()


async def test_an_async_skill_is_stopped_at_its_deadline():
    with pytest.raises(SkillTimeoutError, match=r"sleep_for_ever did not finish within 0\.05 s"):
        await InProcess().call(sleep_for_ever, {})


async def test_a_sync_skill_is_left_behind_at_its_deadline(blocking):
    block = blocking()
    with pytest.raises(SkillTimeoutError):
        await InProcess().call(block.skill, {})
    assert not block.ended


async def test_a_sync_skill_does_not_block_the_loop(blocking):
    block = blocking(timeout_s=60)
    seen = []
    async with anyio.create_task_group() as tasks:

        async def call():
            seen.append(await InProcess().call(block.skill, {}))

        tasks.start_soon(call)
        await anyio.sleep(0.02)
        block.go.set()
    assert seen == ["late"]


async def test_threads_left_behind_are_bounded_and_forgotten_once_they_end(blocking):
    block = blocking(timeout_s=60)
    level = InProcess()
    async with anyio.create_task_group() as tasks:
        for _ in range(MAX_THREADS_PER_SKILL):
            tasks.start_soon(level.call, block.skill, {})
        with anyio.fail_after(60):
            while block.begun < MAX_THREADS_PER_SKILL:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    with pytest.raises(SkillBusyError, match=f"{MAX_THREADS_PER_SKILL} calls of block are still running"):
        await level.call(block.skill, {})
    block.go.set()
    result = ""
    with anyio.fail_after(60):
        while not result:
            with contextlib.suppress(SkillBusyError):
                result = await level.call(block.skill, {})
            await anyio.lowlevel.checkpoint()
    assert result == "late"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_cancellation_passes_through(kind, blocking):
    called = sleep_in_time if kind == "async" else blocking(timeout_s=60).skill
    ended = []
    with anyio.move_on_after(0.02) as scope:
        await InProcess().call(called, {})
        ended.append("never")
    assert scope.cancelled_caught
    assert not ended


async def test_a_task_cancelled_from_outside_ends_as_cancelled():
    task = asyncio.ensure_future(InProcess().call(sleep_in_time, {}))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_skill_that_awaits_a_cancelled_task_has_failed():
    @skill
    async def wait() -> None:
        """Wait for what is gone."""
        gone = asyncio.ensure_future(anyio.sleep_forever())
        gone.cancel()
        await gone

    with pytest.raises(SkillFailedError, match="waited for something that was cancelled"):
        await InProcess().call(wait, {})


def test_a_sync_skill_has_the_context_variables_of_its_call_and_may_run_a_loop_of_its_own():
    said = contextvars.ContextVar("said", default="nothing")

    @skill
    def say() -> str:
        """Say it."""

        async def inside() -> str:
            await anyio.lowlevel.checkpoint()
            return said.get()

        return anyio.run(inside)

    said.set("something")
    assert anyio.run(InProcess().call, say, {}) == "something"


def test_one_level_serves_one_loop_after_the_other():
    @skill
    def echo(text: str) -> str:
        """Say it again."""
        return text

    level = InProcess()
    for text in ("one", "two"):
        assert asyncio.run(level.call(echo, {"text": text})) == text
