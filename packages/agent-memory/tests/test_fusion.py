"""Rankings made into one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_memory.fusion import Weighted, boosted, fused

RANKINGS = st.lists(
    st.dictionaries(st.integers(0, 20), st.floats(0.1, 100), max_size=8).map(
        lambda scores: sorted(scores.items(), key=lambda item: -item[1])
    ),
    max_size=4,
)

CASES = {
    "nothing": ([], {}),
    "one list is its own order": ([Weighted([(1, 4.0), (2, 1.0)], 1.0)], {1: 1.0, 2: 0.25}),
    "the last of a list that was cut is worth nothing": (
        [Weighted([(1, 4.0), (2, 2.0)], 1.0, is_cut=True)],
        {1: 1.0, 2: 0.0},
    ),
    "weights count": (
        [Weighted([(1, 1.0)], 1.0), Weighted([(2, 9.0), (1, 0.0)], 0.5)],
        {1: 1.0, 2: 0.5},
    ),
    "a weight of nothing is no list": ([Weighted([(1, 1.0)], 0.0)], {}),
    "hits that are all alike are all hits": (
        [Weighted([(1, 3.0), (2, 3.0)], 1.0, is_cut=True)],
        {1: 1.0, 2: 1.0},
    ),
}


@pytest.mark.parametrize(("rankings", "sums"), CASES.values(), ids=CASES.keys())
def test_case(rankings, sums):
    assert fused(rankings) == pytest.approx(sums)


@given(RANKINGS)
def test_what_leads_every_list_leads_the_sum(rankings):
    rankings = [[(99, 1_000.0), *ranking] for ranking in rankings]
    sums = fused([Weighted(ranking, 1.0) for ranking in rankings])
    assert not sums or next(iter(sums)) == 99


@given(RANKINGS)
def test_the_sum_is_sorted_and_has_every_key_once(rankings):
    sums = fused([Weighted(ranking, 0.5) for ranking in rankings])
    assert list(sums.values()) == sorted(sums.values(), reverse=True)
    assert set(sums) == {key for ranking in rankings for key, _ in ranking}


def test_a_boost_moves_what_is_close():
    assert list(boosted({1: 1.0, 2: 0.9, 3: 0.1}, {2: 1.0, 3: 1.0}, 0.2)) == [2, 1, 3]
