"""An immutable sequence whose versions share storage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.history import History


def test_a_version_is_unchanged_by_the_ones_that_extend_it():
    first = History([1, 2])
    second = first.extended(3)
    third = second.extended(4, 5)
    fork = first.extended(9)
    assert [list(one) for one in (first, second, third, fork)] == [
        [1, 2],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 9],
    ]


def test_the_newest_version_grows_without_a_copy():
    first = History([1])
    assert first.extended(2)._items is first._items
    assert first.extended(3)._items is not first._items


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.lists(st.integers(), max_size=3)), max_size=12))
def test_versions_behave_like_tuples(steps):
    histories, model = [History()], [()]
    for pick, new in steps:
        index = pick % len(histories)
        histories.append(histories[index].extended(*new))
        model.append((*model[index], *new))
    for history, expected in zip(histories, model, strict=True):
        assert tuple(history) == expected
        assert len(history) == len(expected)
        assert history[1:] == list(expected[1:])
        assert history[:-1] == list(expected[:-1])
        assert tuple(reversed(history)) == expected[::-1]
        assert [history[i] for i in range(-len(expected), len(expected))] == [*expected, *expected]


@pytest.mark.parametrize("index", [2, -3, 99])
def test_an_index_outside_is_an_error_even_where_a_newer_version_has_an_item(index):
    older = History([1, 2])
    older.extended(3, 4)
    with pytest.raises(IndexError):
        older[index]


def test_an_iteration_ends_where_its_version_ends():
    history = History([1, 2])
    seen = []
    for item in history:
        seen.append(item)
        history.extended(item)
    assert seen == [1, 2]


def test_equality_is_of_content():
    older = History([1])
    older.extended(2)
    assert older == History([1])
    assert older != History([1, 2])
    assert older != [1]
    with pytest.raises(TypeError):
        hash(older)


def test_its_repr_shows_its_own_part():
    older = History([1])
    older.extended(2)
    assert repr(older) == "History([1])"
