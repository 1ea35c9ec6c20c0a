import pytest

from agent_skills import skill
from agent_skills.testing import check_skill


def double(a: int) -> int:
    """Double a number."""
    return a * 2


def broken(a: int) -> int:
    """Break."""
    raise ValueError(a)


EXAMPLES = [("double two", {"a": 2})]


def test_a_good_skill_passes_with_its_result():
    assert check_skill(skill(examples=EXAMPLES)(double)).content == "4"
    assert check_skill(skill(examples=EXAMPLES)(broken), run=False) is None


@pytest.mark.parametrize(
    ("function", "options", "problem"),
    [
        (double, {}, "no examples"),
        (double, {"examples": EXAMPLES, "answer": "{b} is {result}"}, "wants \\['b'\\]"),
        (broken, {"examples": EXAMPLES}, "failed \\(skill_crashed\\)"),
        (double, {"examples": [("double", {"a": "2"})]}, "does not fit the schema: '2' is not of type"),
    ],
)
def test_what_is_wrong_is_named(function, options, problem):
    if "schema" in problem:
        pytest.importorskip("jsonschema")
    with pytest.raises(AssertionError, match=problem):
        check_skill(skill(**options)(function))
