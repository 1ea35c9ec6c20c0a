"""What the calculator reads: one expression where it is written or said, else the forms that numbers can take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.tools import ToolExample
from agent_skills.arithmetic import evaluate
from agent_skills.builtin import CalculatorPlugin
from agent_skills.builtin.calculator_reading import (
    ARGUMENT,
    LETTERS,
    CalculatorReader,
    fill,
    form_of,
    forms,
    operands,
    rewrite,
    written_expression,
)
from agent_skills.registry import SkillRegistry

REWRITTEN = [
    ("What is six plus eleven?", "What is 6 + 11?"),
    ("6 minus 2", "6 - 2"),
    ("6 times seven", "6 * 7"),
    ("15 multiplied with 12", "15 * 12"),
    ("84 divided by 7", "84 / 7"),
    ("84 over 7", "84 / 7"),
    ("4 x 4 x 4", "4 * 4 * 4"),
    ("4 \N{MULTIPLICATION SIGN} 5 \N{DIVISION SIGN} 2", "4 * 5 / 2"),
    ("10 : 5", "10 / 5"),
    ("2^10", "2 ** 10"),
    ("2 to the power of 10", "2 ** 10"),
    ("10 to the 6th power", "10 ** 6"),
    ("five to the third", "5 ** 3"),
    ("7\N{SUPERSCRIPT TWO}", "7 ** 2"),
    ("25 percent of 60", "25% of 60"),
    ("8 % of 250", "8% of 250"),
    ("two dozen eggs", "2 * 12 eggs"),
    ("4 dozen", "4 * 12"),
    ("64-29=", "64 - 29="),
    ("minus five plus seven", "-5 + 7"),
    ("what is minus 5 plus 7", "what is -5 + 7"),
    ("12 bottles minus 5 bottles", "12 bottles minus 5 bottles"),
    ("a\n  b", "a b"),
]


@pytest.mark.parametrize(("text", "request_"), REWRITTEN)
def test_requests_are_rewritten(text, request_):
    assert rewrite(text) == request_


WRITTEN = [
    ("7 + 5 * 3", "7 + 5 * 3"),
    ("What is (9 - 4) * 6?", "(9 - 4) * 6"),
    ("compute 36 / 4", "36 / 4"),
    ("10 - (3 + 2) * 1.5", "10 - (3 + 2) * 1.5"),
    ("64-29=", "64 - 29"),
    ("minus five plus seven", "-5 + 7"),
    ("first add up 3 + 4", "3 + 4"),
    ("17 * 6 is 112", "17 * 6"),
    ("is 29*3 bigger than 80", "29 * 3"),
    ("12 is 17 * 6", ""),
    ("3 * 12 eggs and 4 more", ""),
    ("1 / 0", ""),
    ("80 plus 19% tax", ""),
    ("(3 + 4", ""),
    ("5", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expression"), WRITTEN)
def test_an_expression_is_written_with_all_numbers_or_not(text, expression):
    assert written_expression(rewrite(text)) == expression


OPERANDS = [
    ("first add 3 and 4", ["3", "4"]),
    ("the 3rd of May", []),
    ("a fifth of 100", ["5", "100"]),
    ("two fifths of 100", ["2", "5", "100"]),
    ("in three bowls there are 11, 7 and 16 cherries", ["11", "7", "16"]),
    ("add 2, 7 and 9", ["2", "7", "9"]),
    ("2 coats at 60 each and a hat for 15", ["2", "60", "15"]),
    ("a second pen for 4 euros", ["4"]),
]


@pytest.mark.parametrize(("text", "numbers"), OPERANDS)
def test_ordinals_and_counts_are_no_operands(text, numbers):
    assert operands(rewrite(text)) == numbers


FORMS = [
    ("how much is 20 and 5", {"x + y", "x - y", "x * y", "x / y"}),
    ("how much is 5 and 20", {"x + y", "y - x", "x * y", "y / x"}),
    ("I owe 560 and pay one 4th", {"x / y", "x - x / y"}),
    ("8 of her 20 coins", {"y - x"}),
    ("11 of 36 cards", {"y - x"}),
    ("half my 40 apples", {"x / 2", "x * 2"}),
    ("40 people", set()),
    ("no number", set()),
    ("1 2 3 4 5 6 7", set()),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_forms_by_the_count_of_numbers(text, expected):
    assert set(forms(text, operands(text))) == expected


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("20% off 150", "x% of y"),
        ("60 and then 15% less", "x - y% of x"),
        ("3 and 5 and 9", "x + y + z"),
        ("3 and 5 and 10%", "z% of (x + y)"),
        ("1 2 3 4", "x + y + z + w"),
        ("1 2 3 4 5", "x + y + z + w + v"),
        ("1 2 3 4 5 6", "x * y * z * w * v * u"),
        ("mean 1 2 3", "avg(x, y, z)"),
    ],
)
def test_more_forms(text, among):
    assert among in forms(text, operands(text))


def test_a_form_that_leaves_numbers_out_weighs_less():
    understood = CalculatorReader().read("12 shells, 19 shells and 7 shells")
    weights = dict(zip(understood.kinds[ARGUMENT], understood.log_weights[ARGUMENT], strict=True))
    assert weights["x + y + z"] == 0.0
    assert weights["x + z"] < 0.0


def test_what_is_said_in_full_is_the_only_value():
    reader = CalculatorReader()
    said = reader.read("the quotient of twenty and 4")
    assert (said.values, said.kinds, said.sign) == ({ARGUMENT: ("20 / 4",)}, {}, 1.0)
    assert reader.read("7 + 5").sign == 1.0
    assert reader.read("half of 30").sign < 1.0  # one number is no strong sign
    assert reader.read("hello") is None
    assert reader.read("I am 30") is None


NUMBERS = st.one_of(st.integers(0, 9_999), st.decimals(0, 999, places=2)).map(str)
LINKS = st.sampled_from(
    [" ", " and ", " boxes of ", "% of ", " of them ", ", half ", " minus ", " + ", " one 4th "]
)


@given(st.lists(st.tuples(NUMBERS, LINKS), max_size=7))
def test_every_value_has_a_value_and_its_kind(parts):
    understood = CalculatorReader().read("".join(number + link for number, link in parts))
    if understood is None:
        return
    values = understood.values[ARGUMENT]
    assert len(set(values)) == len(values) > 0
    results = [evaluate(value) for value in values]
    if understood.kinds:
        assert all(result >= 0 for result in results)
        numbers = operands(understood.request)
        assert [fill(kind, numbers) for kind in understood.kinds[ARGUMENT]] == list(values)
        assert len(understood.log_weights[ARGUMENT]) == len(values)
        assert all(weight <= 0 for weight in understood.log_weights[ARGUMENT])


@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    understood = CalculatorReader().read(text)
    assert understood is None or understood.values[ARGUMENT]


@given(st.data(), st.lists(st.integers(1, 10**6), min_size=1, max_size=6, unique=True))
def test_a_form_comes_back_from_what_it_was_filled_with(data, numbers):
    shown = [str(number) for number in numbers]
    letters = data.draw(st.permutations(LETTERS[: len(shown)]))
    signs = data.draw(st.lists(st.sampled_from("+-*/"), min_size=len(shown), max_size=len(shown)))
    form = "".join(f"{letter} {sign} " for letter, sign in zip(letters, signs, strict=True))[:-3]
    assert form_of(fill(form, shown), shown) == form


def test_functions_are_no_letters():
    assert fill("avg(x, y) + max(x, y)", ["1", "2"]) == "avg(1, 2) + max(1, 2)"
    assert form_of("3 + 3 + 9", ["3", "3"]) == "x + y + 9"


@given(st.integers(2, 500), st.integers(2, 500), st.integers(2, 500))
def test_no_value_is_a_bare_number(x, y, z):
    for text in (f"{x} and {y}", f"{x} and {y} and {z}", f"half my {x} apples", f"{x}% from {y}"):
        understood = CalculatorReader().read(text)
        assert not any(value.replace(".", "").isdigit() for value in understood.values[ARGUMENT])


def test_examples_are_rewritten_and_have_their_form_as_kind():
    example = ToolExample(utterance="add fourteen to 29", arguments={ARGUMENT: "14 + 29"})
    read = CalculatorReader().example(example)
    assert (read.shot.utterance, read.masked) == ("add 14 to 29", "add fourteen to 29")
    assert read.kinds == {ARGUMENT: "x + y"}


def test_what_is_read_in_its_own_examples_holds_their_value():
    registry = SkillRegistry()
    registry.register("calculator", CalculatorPlugin())
    reader = CalculatorReader()
    missed = [
        example.utterance
        for example in registry.get("calculator").spec.examples
        if evaluate(str(example.arguments[ARGUMENT]))
        not in {evaluate(value) for value in reader.read(example.utterance).values[ARGUMENT]}
    ]
    assert missed == []
