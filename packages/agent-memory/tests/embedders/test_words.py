"""A text as rows of a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_memory.embedders.words import Vocabulary, words_of

ENTRIES = [
    "read",
    "csv",
    "file",
    "##s",
    "un",
    "##zip",
    "café",
    "cafe",
    "zip",
    "http",
    "server",
    "2",
    "日",
    "##本",
]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("read csv", ["read", "csv"]),
        ("READ, csv!", ["read", "csv"]),
        ("readCsv", ["read", "csv"]),
        ("read_csv", ["read", "csv"]),
        ("HTTPServer2", ["http", "server", "2"]),
        ("files", ["file", "##s"]),
        ("unzip", ["un", "##zip"]),
        ("Café", ["cafe"]),
        ("日本", ["日", "##本"]),
        ("qqq", []),
        ("... --- !?", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into(text, pieces):
    assert [ENTRIES[row] for row in Vocabulary(ENTRIES).rows(text)] == pieces


@given(st.text(max_size=60))
def test_any_text_has_rows_of_the_table_and_always_the_same(text):
    vocabulary = Vocabulary(ENTRIES)
    rows = vocabulary.rows(text)
    assert set(rows) <= set(range(len(ENTRIES)))
    assert vocabulary.rows(text) == rows


def test_a_run_of_letters_without_end_costs_no_more_than_its_length():
    assert len(Vocabulary(["a", "##a"]).rows("a" * 1_000_000)) <= 64


def test_words_are_found_between_signs():
    assert words_of("a.b(c)[d]_e") == ["a", "b", "c", "d", "e"]
