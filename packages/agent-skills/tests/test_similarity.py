import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_skills.similarity import SimilarityIndex, features, shape

TEXTS = ("what time is it", "read notes.txt", "what is 6 plus 11", "tell me a story", "list my files")


@pytest.mark.parametrize(("place", "text"), list(enumerate(TEXTS)))
def test_a_text_is_likest_to_itself(place, text):
    nearest = SimilarityIndex(TEXTS).nearest(text)
    assert nearest[0].place == place
    assert nearest[0].score == pytest.approx(1.0)
    assert len(nearest) == len(TEXTS)


@given(st.text(max_size=40), st.text(max_size=40))
def test_likeness_is_symmetric_and_between_0_and_1(one, other):
    index = SimilarityIndex([one, other])
    there = next(near.score for near in index.nearest(one) if near.place == 1)
    back = next(near.score for near in index.nearest(other) if near.place == 0)
    assert there == pytest.approx(back)
    assert 0.0 <= there <= 1.0 + 1e-9


def test_the_order_is_by_likeness_and_then_by_place():
    nearest = SimilarityIndex(["a b", "a b", "a c", "d"]).nearest("a b")
    assert [near.place for near in nearest] == [0, 1, 2, 3]
    assert nearest == sorted(nearest, key=lambda near: (-near.score, near.place))


def test_only_a_part_may_be_searched_with_scores_made_once():
    index = SimilarityIndex(TEXTS)
    scores = index.scores("what time is it")
    assert index.nearest(scores) == index.nearest("what time is it")
    assert [near.place for near in index.nearest(scores, [4, 2])] == [2, 4]
    assert index.nearest(scores, []) == []


SHAPES = [
    ("What is 6 + 11?", "what is nnn ooo nnn"),
    ("what is sixty times 2", "what is nnn times nnn"),
    ("25% of 1,000", "nnn ooo of nnn"),
    ("open docs/intro.md", "open fffile"),
    ("What's up", "what is up"),
    ("whats up", "what is up"),
    ("could you please read it for me", "read it"),
    ("thanks", "thanks"),
    ("could you", "could you"),
    ("?!", ""),
]


@pytest.mark.parametrize(("text", "shaped"), SHAPES)
def test_numbers_signs_files_and_politeness_are_made_equal(text, shaped):
    assert shape(text) == shaped


def test_equal_wordings_are_equal():
    assert features("What is 3 + 4?") == features("what's twelve * 9")
    assert features("read a.txt") == features("Please read notes/b.md")
    assert features("") == features("...")


def test_nothing_is_like_nothing():
    assert SimilarityIndex([]).nearest("x") == []
    assert SimilarityIndex(["a"]).nearest("zzz")[0].score == 0.0
