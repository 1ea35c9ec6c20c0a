"""When a second route is asked."""

from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.hedging import HedgePolicy, Latencies, hedge_after_s


def seen(*seconds: float) -> Latencies:
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    return latencies


def test_a_fixed_time_needs_no_history() -> None:
    assert hedge_after_s(HedgePolicy(after_s=0.3), Latencies()) == 0.3


def test_a_quantile_needs_enough_of_it() -> None:
    policy = HedgePolicy(quantile=0.9, samples=10)
    assert hedge_after_s(policy, seen(*[1.0] * 9)) is None
    assert hedge_after_s(policy, seen(*range(1, 11))) == 10
    assert hedge_after_s(HedgePolicy(quantile=0.5, samples=10), seen(*range(1, 11))) == 6


def test_only_the_latest_count() -> None:
    assert seen(*[9.0] * 500, *[1.0] * 128).quantile(0.99) == 1.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=100), st.floats(0, 1))
def test_a_quantile_is_one_of_them_and_so_many_are_not_over_it(seconds: list[float], share: float) -> None:
    found = seen(*seconds).quantile(share)
    assert found in seconds
    assert sum(one <= found for one in seconds) >= share * len(seconds)
