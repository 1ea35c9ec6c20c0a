"""The real clock and the real ids."""

import random
import time

from agent_core.system import SystemClock, SystemIds


async def test_the_clock_tells_the_time_and_waits():
    clock = SystemClock()
    before = time.monotonic()
    assert abs(clock.now() - time.time()) < 5
    await clock.sleep(0.01)
    assert time.monotonic() - before >= 0.009


def test_an_application_that_seeds_its_randomness_gets_other_ids_all_the_same():
    drawn = set()
    for _ in range(2):
        random.seed(7)
        drawn |= {int(SystemIds().new("run").removeprefix("run_"), 16) & (1 << 60) - 1 for _ in range(50)}
    assert len(drawn) == 100


def test_ids_are_unique_and_sort_by_time():
    ids = SystemIds()
    first = ids.new("run")
    time.sleep(0.003)
    later = [ids.new("run") for _ in range(1_000)]
    assert len({first, *later}) == 1_001
    assert all(first < other for other in later)
    assert first.startswith("run_")
    assert len(first) == len("run_") + 26
