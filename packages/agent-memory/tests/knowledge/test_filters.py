"""Filters as predicates: nothing of a value is read as anything but a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core import Between, KnowledgeError
from agent_memory.errors import FilterValueError, UnknownFieldError
from agent_memory.knowledge.domains import Domain, Field
from agent_memory.knowledge.filters import predicate, quoted

DOMAIN = Domain(
    name="d",
    description="",
    fields=(
        Field(name="author"),
        Field(name="year", kind="number"),
        Field(name="day", kind="date"),
        Field(name="draft", kind="flag"),
    ),
)

CASES = {
    "none": (None, ""),
    "equal": ({"author": "a"}, "`m_author` = 'a'"),
    "a quote": ({"author": "o'b"}, "`m_author` = 'o''b'"),
    "one of": ({"author": ["a", "b"]}, "`m_author` IN ('a', 'b')"),
    "one of none": ({"author": []}, "false"),
    "a number": ({"year": 2024}, "`m_year` = 2024"),
    "a range": ({"year": Between(at_least=1, at_most=2.5)}, "(`m_year` >= 1 AND `m_year` <= 2.5)"),
    "half a range": ({"day": Between(at_least="2024-01-01")}, "(`m_day` >= '2024-01-01')"),
    "a range without ends": ({"year": Between()}, "true"),
    "a flag": ({"draft": False}, "`m_draft` = false"),
    "two": ({"author": "a", "page": 3}, "`m_author` = 'a' AND `page` = 3"),
}


@pytest.mark.parametrize(("filters", "sql"), CASES.values(), ids=CASES.keys())
def test_a_filter_is(filters, sql):
    assert predicate(DOMAIN, filters) == sql


@pytest.mark.parametrize(
    "filters",
    [
        {"author": 3},
        {"year": "3"},
        {"year": True},
        {"year": float("nan")},
        {"year": float("inf")},
        {"draft": 1},
        {"draft": "yes"},
        {"year": ["1"]},
        {"day": Between(at_most=3)},
    ],
)
def test_a_value_of_another_kind_is_refused(filters):
    with pytest.raises(FilterValueError, match="holds a"):
        predicate(DOMAIN, filters)


@pytest.mark.parametrize("name", ["nobody", "m_author", "key", "vector", "author` OR true --", ""])
def test_an_unknown_field_is_named_with_those_that_are_known(name):
    with pytest.raises(UnknownFieldError, match="author, day, draft") as caught:
        predicate(DOMAIN, {name: "x"})
    assert isinstance(caught.value, KnowledgeError)


@given(st.text())
def test_text_cannot_leave_its_quotes(text):
    inside = quoted(text)[1:-1]
    assert "'" not in inside.replace("''", "")
    assert inside.replace("''", "'") == text
