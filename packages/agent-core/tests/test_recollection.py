from hypothesis import given
from hypothesis import strategies as st

from agent_core.recollection import recalled, without_recalled

texts = st.text() | st.lists(st.sampled_from(["<recalled>", "</recalled>", "a", "\n", " "])).map("".join)


@given(texts, st.text(st.characters(exclude_characters="<")), st.text(st.characters(exclude_characters="<")))
def test_what_was_recalled_is_taken_out_whole(inner: str, before: str, after: str) -> None:
    assert without_recalled(before + recalled(inner) + after) == before + after


@given(texts)
def test_nothing_is_left_of_a_mark(text: str) -> None:
    assert "<recalled>" not in without_recalled(text)


def test_a_mark_that_is_never_closed_reaches_to_the_end() -> None:
    assert without_recalled("said <recalled>\nonce") == "said "
