import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.messages import Message, assistant, user
from agent_core.recollection import without_recalled
from agent_memory.compaction import extract, first_kept, summary


def words(message: Message) -> int:
    return len(message.text.split())


@pytest.mark.parametrize(
    ("tokens", "room", "began", "first"),
    [
        ([], 10, 0, 0),
        ([5, 5], 10, 0, 0),
        ([5, 5, 5], 10, 0, 2),
        ([5, 5, 5], 10, 1, 1),
        ([1, 1, 1, 8], 10, 0, 4),
        ([1, 9, 3, 2], 10, 1, 2),
    ],
)
def test_a_full_window_is_emptied_to_half(tokens: list[int], room: int, began: int, first: int) -> None:
    assert first_kept(tokens, room, began) == first


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(0, 60), st.integers(0, 30))
def test_what_is_kept_fits_and_the_boundary_never_goes_back(tokens: list[int], room: int, began: int) -> None:
    began = min(began, len(tokens))
    first = first_kept(tokens, room, began)
    assert began <= first <= len(tokens)
    assert sum(tokens[first:]) <= room
    assert first_kept(tokens, room, first) == first


TURNS = [
    (user("Hello there my friend."), assistant("Hello there my friend.")),
    (user("Hello there my friend. The launch code of the rocket is 7342."), assistant("Noted.")),
    (user("Hello there my friend."), assistant("How are you doing today?")),
]


def test_an_extract_holds_what_is_said_once() -> None:
    assert extract(TURNS, 30, words).splitlines()[0] == "- user: The launch code of the rocket is 7342."


@given(st.integers(0, 80))
def test_an_extract_keeps_its_budget(budget: int) -> None:
    text = extract(TURNS, budget, words)
    assert not text or words(summary(text)) <= budget


def test_a_summary_is_marked_and_not_summarised_again() -> None:
    made = summary("- user: The launch code is 7342 today.")
    assert without_recalled(made.text).strip() == ""
    assert extract([(made,)], 100, words) == ""
