"""The breaker's table, cell by cell, and its laws."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.breaker import (
    CLOSED,
    TRANSITIONS,
    Breaker,
    BreakerEvent,
    BreakerPolicy,
    BreakerState,
    asked,
    ended,
    ready_at,
)

S, E = BreakerState, BreakerEvent
POLICY = BreakerPolicy(failures=3, open_s=10.0, factor=2.0, max_open_s=35.0)
CELLS = [
    (S.CLOSED, E.SUCCEEDED, S.CLOSED),
    (S.CLOSED, E.FAILED, S.CLOSED),
    (S.CLOSED, E.TRIPPED, S.OPEN),
    (S.CLOSED, E.ABANDONED, S.CLOSED),
    (S.OPEN, E.SUCCEEDED, S.OPEN),
    (S.OPEN, E.FAILED, S.OPEN),
    (S.OPEN, E.TRIPPED, S.OPEN),
    (S.OPEN, E.ABANDONED, S.OPEN),
    (S.OPEN, E.COOLED, S.HALF_OPEN),
    (S.HALF_OPEN, E.SUCCEEDED, S.CLOSED),
    (S.HALF_OPEN, E.FAILED, S.OPEN),
    (S.HALF_OPEN, E.TRIPPED, S.OPEN),
    (S.HALF_OPEN, E.ABANDONED, S.HALF_OPEN),
]


def test_the_table_is_these_cells() -> None:
    table = {(state, event, after) for state, row in TRANSITIONS.items() for event, after in row.items()}
    assert table == set(CELLS)
    assert set(TRANSITIONS) == set(S)


def after(*events: BreakerEvent, now: float = 100.0) -> Breaker:
    breaker = CLOSED
    for event in events:
        breaker = ended(POLICY, breaker, event, now)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert after(E.FAILED, E.FAILED).state is S.CLOSED
    opened = after(E.FAILED, E.FAILED, E.FAILED)
    assert opened.state is S.OPEN
    assert ready_at(opened) == 110.0


def test_a_success_in_between_forgives() -> None:
    assert after(E.FAILED, E.FAILED, E.SUCCEEDED, E.FAILED, E.FAILED).state is S.CLOSED


def test_a_caller_who_leaves_says_nothing_of_the_route() -> None:
    assert after(E.FAILED, E.FAILED, E.ABANDONED, E.FAILED).state is S.OPEN
    assert after(E.ABANDONED, E.ABANDONED, E.ABANDONED) == CLOSED


def test_half_open_lets_one_through() -> None:
    probing = asked(after(E.FAILED, E.FAILED, E.FAILED))
    assert probing.state is S.HALF_OPEN
    assert ready_at(probing) is None
    assert ended(POLICY, probing, E.SUCCEEDED, 120.0) == CLOSED
    left = ended(POLICY, probing, E.ABANDONED, 120.0)
    assert (left.state, ready_at(left)) == (S.HALF_OPEN, 0.0)


def test_it_stays_open_longer_each_time_up_to_a_longest() -> None:
    breaker, now, waits = after(E.FAILED, E.FAILED, E.FAILED), 100.0, []
    for _ in range(4):
        ready = ready_at(breaker)
        assert ready is not None
        waits.append(ready - now)
        now = ready
        breaker = ended(POLICY, asked(breaker), E.FAILED, now)
    assert waits == [10.0, 20.0, 35.0, 35.0]


def test_late_replies_of_requests_begun_before_it_opened_change_nothing() -> None:
    opened = after(E.FAILED, E.FAILED, E.FAILED)
    for event in (E.SUCCEEDED, E.FAILED, E.ABANDONED):
        assert ended(POLICY, opened, event, 105.0) == opened


@given(
    st.lists(st.tuples(st.sampled_from([E.SUCCEEDED, E.FAILED, E.ABANDONED]), st.floats(0, 50)), max_size=40)
)
def test_whatever_happens_it_can_be_asked_again(story: list[tuple[BreakerEvent, float]]) -> None:
    """One request at a time, asked as soon as allowed: never stuck, never open longer than the longest."""
    breaker, now = CLOSED, 1_000.0
    for event, seconds in story:
        ready = ready_at(breaker)
        assert ready is not None, "no request is under way"
        assert ready - now <= POLICY.max_open_s
        now = max(now, ready) + seconds
        breaker = asked(breaker)
        assert breaker.state is not S.OPEN
        breaker = ended(POLICY, breaker, event, now)
        assert not breaker.probing
        assert (breaker.state is S.OPEN) == (event is E.FAILED and breaker.failures >= POLICY.failures)


def test_a_route_that_works_costs_no_new_object() -> None:
    assert asked(CLOSED) is CLOSED
    assert ended(POLICY, CLOSED, E.SUCCEEDED, 1.0) is CLOSED
    assert msgspec.structs.asdict(CLOSED)["failures"] == 0
