"""The deadline of a piece of work: set only if it waits, taken back when it ends, and nothing between it and the loop."""

from math import inf

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agent_core.deadline import LateError, within

SHORT_S = 0.05


async def test_work_that_does_not_wait_has_no_timer():
    async def work():
        return scope.deadline

    with anyio.CancelScope() as scope:
        assert await within(30.0, work(), scope) == inf
    assert not scope.cancel_called


async def test_work_that_waits_has_one_until_it_ends():
    async def work():
        for _ in range(3):
            await checkpoint()
        return scope.deadline

    with anyio.CancelScope() as scope:
        deadline = await within(30.0, work(), scope)
        assert 0 < deadline - anyio.current_time() <= 30.0
        assert scope.deadline == inf


async def test_work_that_takes_too_long_is_cancelled_with_the_scope():
    ended = []

    async def work():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with anyio.fail_after(10), anyio.CancelScope() as scope:
        await within(SHORT_S, work(), scope)
    assert (scope.cancelled_caught, ended) == (True, [True])


async def test_without_a_scope_only_the_work_is():
    with anyio.fail_after(10), pytest.raises(LateError):
        await within(SHORT_S, anyio.sleep_forever(), None)


@pytest.mark.parametrize("waits", [False, True])
async def test_what_the_work_raises_is_raised(waits):
    async def work():
        if waits:
            await checkpoint()
        raise LookupError("broken")

    with anyio.CancelScope() as scope, pytest.raises(LookupError, match="broken"):
        await within(30.0, work(), scope)
    assert scope.deadline == inf


async def test_work_may_have_scopes_and_tasks_of_its_own_and_go_on_after_its_own_deadline():
    async def work():
        with anyio.move_on_after(SHORT_S):
            await anyio.sleep_forever()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0)
        return "went on"

    with anyio.fail_after(10), anyio.CancelScope() as scope:
        assert await within(30.0, work(), scope) == "went on"


async def test_a_cancellation_from_outside_reaches_the_work():
    began, ended = anyio.Event(), []

    async def work():
        try:
            began.set()
            await anyio.sleep_forever()
        except BaseException as error:
            ended.append(type(error))
            raise

    async def drive():
        with anyio.CancelScope() as scope:
            await within(30.0, work(), scope)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive)
        await began.wait()
        tasks.cancel_scope.cancel()
    assert ended == [anyio.get_cancelled_exc_class()]
