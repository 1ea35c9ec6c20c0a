"""The promises of the `Clock` port. Subclass `ClockConformance` and say how to make yours.

    class TestMyClock(ClockConformance):
        def clock(self):
            return MyClock()

Needs pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod

import anyio

from agent_core.ports import Clock

YEAR_2000_S = 946_684_800.0
YEAR_2100_S = 4_102_444_800.0
NAP_S = 0.03
TOLERANCE_S = 0.005
"""Clocks of the world count milliseconds, and may be set while one sleeps."""
PATIENCE_S = 10.0


class ClockConformance:
    """Each test makes a clock of its own, through `clock`."""

    @abstractmethod
    def clock(self) -> Clock:
        """A clock."""

    async def test_the_time_is_in_seconds_since_the_epoch(self) -> None:
        """Between the years 2000 and 2100: not milliseconds, not the time since the machine was started."""
        assert YEAR_2000_S < self.clock().now() < YEAR_2100_S

    async def test_time_does_not_go_back(self) -> None:
        """However often it is asked."""
        clock = self.clock()
        times = [clock.now() for _ in range(100)]
        assert times == sorted(times)

    async def test_time_passes_while_one_sleeps(self) -> None:
        """At least what was asked for."""
        clock = self.clock()
        before = clock.now()
        with anyio.fail_after(PATIENCE_S):
            await clock.sleep(NAP_S)
        assert clock.now() - before >= NAP_S - TOLERANCE_S

    async def test_others_work_while_one_sleeps(self) -> None:
        """No sleep holds up the event loop, not even one of no length."""
        clock = self.clock()
        for seconds in (NAP_S, 0.0):
            woken: list[str] = []

            async def work(woken: list[str] = woken) -> None:
                woken.append("work")  # a task to be run

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                await clock.sleep(seconds)
                assert woken == ["work"]

    async def test_a_sleep_can_be_cancelled(self) -> None:
        """Cancellation goes through."""
        clock = self.clock()
        with anyio.fail_after(PATIENCE_S):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await clock.sleep(3_600.0)
            assert scope.cancelled_caught
