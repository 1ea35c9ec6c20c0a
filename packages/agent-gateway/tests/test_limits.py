"""The sliding window: never over its rate in any window, and not stuck either."""

import math

from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.limits import SlidingWindow

T = 1_700_000_000.0


def test_it_allows_its_limit_at_once_and_then_waits_a_window() -> None:
    window = SlidingWindow(3)
    for _ in range(3):
        assert window.ready_at(T) == T
        window.take(T)
    ready = window.ready_at(T)
    assert T + 60 <= ready <= T + 62
    assert window.ready_at(ready) == ready


def test_more_than_the_limit_at_once_is_never_ready() -> None:
    assert SlidingWindow(100).ready_at(T, 101) == math.inf
    assert SlidingWindow(100).ready_at(T, 100) == T
    assert SlidingWindow(0).ready_at(T, 1) == math.inf


def test_it_is_ready_when_enough_has_gone_and_not_all() -> None:
    window = SlidingWindow(10, window_s=60)
    window.take(T, 4)
    window.take(T + 30, 6)
    assert T + 60 <= window.ready_at(T + 31, 4) <= T + 62
    assert T + 90 <= window.ready_at(T + 31, 5) <= T + 92


def test_an_estimate_is_corrected_where_it_was_made() -> None:
    window = SlidingWindow(100, window_s=60)
    slot = window.take(T, 60)
    window.take(T + 30, 40)
    window.correct(T + 31, slot, 60, 10)
    assert window.ready_at(T + 31, 50) == T + 31
    # What is given back is that of the first: when its slot has gone, the second's 40 still count.
    assert window.ready_at(T + 70, 60) == T + 70
    assert window.ready_at(T + 70, 61) >= T + 90


def test_more_than_estimated_counts_from_when_it_is_known() -> None:
    window = SlidingWindow(100, window_s=60)
    slot = window.take(T, 10)
    window.correct(T + 50, slot, 10, 90)
    assert window.ready_at(T + 65, 20) == T + 65
    assert window.ready_at(T + 65, 21) >= T + 110


def test_a_correction_after_its_slot_has_gone_changes_nothing() -> None:
    window = SlidingWindow(100, window_s=60)
    slot = window.take(T, 100)
    assert window.ready_at(T + 70, 100) == T + 70
    window.correct(T + 70, slot, 100, 10)
    assert window.ready_at(T + 70, 101) == math.inf
    window.take(T + 70, 100)
    assert window.ready_at(T + 70, 1) > T + 70


def test_it_takes_no_more_memory_the_more_is_taken() -> None:
    window = SlidingWindow(10_000_000)
    for step in range(20_000):
        now = T + step * 0.01
        assert window.ready_at(now) == now
        window.take(now)
    assert len(window._slots) <= 62


calls = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 8)), min_size=1, max_size=60)


@given(calls, st.integers(8, 20))
def test_in_no_window_is_more_taken_than_the_limit(story: list[tuple[float, int]], limit: int) -> None:
    """Each caller waits exactly as long as it is told."""
    window, now = SlidingWindow(limit, window_s=60), T
    taken: list[tuple[float, int]] = []
    for pause, amount in story:
        now = max(now + pause, window.ready_at(now + pause, amount))
        assert window.ready_at(now, amount) <= now, "whoever waited as told may"
        window.take(now, amount)
        taken.append((now, amount))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= limit


@given(calls, st.integers(8, 20), st.data())
def test_corrections_downwards_keep_the_law(
    story: list[tuple[float, int]], limit: int, data: st.DataObject
) -> None:
    window, now = SlidingWindow(limit, window_s=60), T
    taken: list[tuple[float, int]] = []
    for pause, amount in story:
        now = max(now + pause, window.ready_at(now + pause, amount))
        slot = window.take(now, amount)
        actual = data.draw(st.integers(0, amount))
        window.correct(now + data.draw(st.floats(0, 0.5)), slot, amount, actual)
        taken.append((now, actual))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= limit


@given(calls)
def test_it_is_at_most_a_slot_slower_than_the_limit(story: list[tuple[float, int]]) -> None:
    """A wait ends when an exact log of what was taken would allow it, plus the slot and one second's rounding."""
    limit, window, now = 10, SlidingWindow(10, window_s=60), T
    taken: list[tuple[float, int]] = []
    for pause, amount in story:
        now += pause
        ready = window.ready_at(now, amount)
        exact = now
        for at, _ in taken:
            if sum(n for other, n in taken if other > exact - 60) + amount > limit:
                exact = max(exact, at + 60)
        assert ready <= exact + 1.0 + 1e-6
        now = max(now, ready)
        window.take(now, amount)
        taken.append((now, amount))
