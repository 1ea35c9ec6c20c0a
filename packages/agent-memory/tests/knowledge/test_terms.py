"""How a text is read when words are compared."""

import pytest

from agent_memory.knowledge.terms import nearness, query_terms, with_parts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain words", "plain words"),
        ("readCsv(path)", "readCsv read csv path"),
        ("read_csv", "read csv"),
        ("HTTPServer", "HTTPServer http server"),
    ],
)
def test_names_have_their_parts_beside_them(text, told):
    assert with_parts(text) == told


def test_a_query_is_its_stems_without_words_that_say_nothing():
    assert query_terms("What are the treatments for heart attacks?") == ["treatment", "heart", "attack"]


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("heart attack", "a heart attack is", "the heart is a muscle, " + "word " * 20 + "an attack"),
        ("read csv", "def read_csv(path)", "def read(path): " + "x " * 20 + "csv"),
    ],
)
def test_words_that_stand_together_count(query, near, far):
    terms = query_terms(query)
    assert nearness(terms, near) > 0
    assert nearness(terms, far) == 0


@pytest.mark.parametrize("query", ["", "the", "word", "word word"])
def test_a_query_without_neighbours_says_nothing(query):
    assert nearness(query_terms(query), "word word word") == 0
