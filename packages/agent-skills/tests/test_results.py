import datetime as dt
import decimal

import pytest

from agent_skills.errors import UnreadableResultError
from agent_skills.results import as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n", "as it is\n"),
        ("", ""),
        ("h\N{LATIN SMALL LETTER E WITH ACUTE}", "h\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("lone \ud800", "lone ?"),
        (None, "null"),
        (3, "3"),
        ([1, "a"], '[1,"a"]'),
        ({"a": decimal.Decimal("0.1")}, '{"a":"0.1"}'),
        (dt.date(2026, 11, 22), '"2026-11-22"'),
        (float("nan"), "null"),
    ],
)
def test_results_become_text(value, text):
    assert as_text(value, "s") == text


@pytest.mark.parametrize("value", [object(), {1j: 1}, print, ["\ud800"]])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(UnreadableResultError, match="s returned a"):
        as_text(value, "s")


def test_what_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(UnreadableResultError):
        as_text(loop, "s")


def test_long_results_are_cut_with_a_note():
    assert as_text("x" * 10, "s", 10) == "x" * 10
    assert as_text("x" * 1_234, "s", 10) == (
        "xxxxxxxxxx\n[cut: the result has 1,234 characters, these are the first 10]"
    )
    assert as_text([1] * 100, "s", 10).startswith("[1,1,1,1,1\n[cut: the result has 201")
