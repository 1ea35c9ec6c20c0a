"""Exact arithmetic, held against Python's own on fractions."""

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_skills.arithmetic import MAX_BITS, ArithmeticFailedError, evaluate, show

VALUES = {
    "0.1 + 0.2": "0.3",
    "2+3*4": "14",
    "(2+3)*4": "20",
    "-2**2": "-4",
    "2**-1": "0.5",
    "2**3**2": "512",
    "2^10": "1024",
    "2**-2**2": "0.0625",
    "4 * -2": "-8",
    "--3": "3",
    "+5": "5",
    "-7//2": "-4",
    "-7%3": "2",
    "7 % (-3)": "-2",
    "10/3": "3.33333333333333",
    "100/8": "12.5",
    "10/4/5": "0.5",
    ".5 + 1.": "1.5",
    "1.5e3": "1500",
    "1e-20": "1e-20",
    "12% of 80": "9.6",
    "15%": "0.15",
    "50% * 8": "4",
    "50% + 20%": "0.7",
    "60 - 25% of 60": "45",
    "20% of (3 * 50)": "30",
    "10 % 3": "1",
    "7 x 8 =": "56",
    "7 \N{MULTIPLICATION SIGN} 8": "56",
    "56 \N{DIVISION SIGN} 7": "8",
    "9 \N{MINUS SIGN} 4": "5",
    "[1 + 2] * 3": "9",
    "1,234,567 + 1": "1234568",
    "$5 + $6": "11",
    "2 + 2?": "4",
    "max(1,200)": "200",
    "min(3, 1, 2)": "1",
    "sum(1, 2, 3) / 2": "3",
    "avg(1, 2)": "1.5",
    "abs(-3)": "3",
    "SQRT(16)": "4",
    "sqrt(2)": "1.4142135623731",
    "sqrt(1/4)": "0.5",
    "2 ** 0.5 ** 1": "1.4142135623731",
    "8 ** (1/3)": "2",
    "round(2.5)": "3",
    "round(-2.345, 2)": "-2.35",
    "floor(-1.5)": "-2",
    "ceil(1.2)": "2",
    "0**0": "1",
    "10 ** 30": "1" + "0" * 30,
}


@pytest.mark.parametrize("expression", VALUES)
def test_values(expression):
    assert show(evaluate(expression)) == VALUES[expression]


REFUSED = {
    "": "a number is missing at its end",
    "   ": "a number is missing at its end",
    "3 +": "a number is missing at its end",
    "((1)": "`)` is missing",
    "1)": "')' at position 2",
    "2(3)": "'(' at position 2",
    "2 3": "'3' at position 3",
    "foo + 1": "'foo' at position 1 is no number",
    "__import__('os')": "is no part of arithmetic",
    "().__class__": "no part of arithmetic",
    "0x10": "'x' at position 2",
    "1 if 1 else 2": "'if'",
    "x := 3": "no part of arithmetic",
    "sqrt 2": "sqrt needs brackets",
    "sqrt(1, 2)": "sqrt takes 1 to 1 numbers, not 2",
    "round(1, 0.5)": "whole number of digits",
    "1/0": "division by zero",
    "1//0": "division by zero",
    "1 % 0": "division by zero",
    "0 ** -1": "division by zero",
    "sqrt(-1)": "no real square root",
    "(-8) ** (1/3)": "no real value",
    "80 + 10%": "80 + 10% of 80",
    "10 % -3": "use brackets",
    "9**9**9": "too large",
    "10 ** 1100": "too large",
    "(10 ** 900) * (10 ** 900)": "too large",
    "2 ** 9999.5": "too large",
    "(10 ** 900) ** 9999.5": "too large",
    "0.5 ** 9999.5": "too small",
    "1" * 501: "501 characters",
    "(" * 200 + "1" + ")" * 200: "nested more than 50 deep",
    "-" * 200 + "1": "nested more than 50 deep",
    "\N{ARABIC-INDIC DIGIT ONE} + 1": "no part of arithmetic",
    "1 + \ud800": "no part of arithmetic",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_refusals_say_why_and_come_at_once(expression):
    started = time.thread_time()
    with pytest.raises(ArithmeticFailedError) as caught:
        evaluate(expression)
    assert REFUSED[expression] in str(caught.value)
    assert time.thread_time() - started < 1


numbers = st.one_of(
    st.integers(0, 10**6).map(str),
    st.decimals(0, 1000, places=3).map(lambda number: f"{number:f}"),
)


def combine(inner):
    pairs = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//"]), inner)
    powers = st.tuples(inner, st.integers(-3, 3))
    return st.one_of(
        pairs.map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        powers.map(lambda two: f"({two[0]}) ** {two[1]}"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) % ({two[1]})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: f"max({', '.join(many)})"),
    )


class Exact:
    """Python's own evaluation, with every literal a Fraction."""

    @staticmethod
    def of(expression):
        import re

        exact = re.sub(r"[0-9]+(?:\.[0-9]+)?", lambda number: f"F('{number[0]}')", expression)
        return Fraction(eval(exact, {"__builtins__": {}, "F": Fraction, "max": lambda *many: max(many)}))


@given(st.recursive(numbers, combine, max_leaves=8))
def test_python_agrees(expression):
    try:
        expected = Exact.of(expression)
    except ZeroDivisionError:
        expected = None
    try:
        value = evaluate(expression)
    except ArithmeticFailedError as error:
        told = str(error)
        assert expected is None or "too large" in told or "characters" in told or "nested" in told, told
    else:
        assert value == expected


@given(st.integers(-(2**MAX_BITS) + 1, 2**MAX_BITS - 1))
def test_integers_are_shown_in_full(number):
    assert show(Fraction(number)) == str(number)


@given(st.decimals(-(10**6), 10**6, places=6))
def test_short_decimals_are_shown_exactly(number):
    assert Fraction(show(Fraction(number))) == Fraction(number)


@given(st.text(max_size=60))
def test_any_text_has_a_value_or_an_error(text):
    with contextlib.suppress(ArithmeticFailedError):
        assert show(evaluate(text))


@given(st.text(alphabet="0123456789.()+-*/%^, ofsqrtmax", max_size=40))
def test_any_arithmetic_looking_text_has_a_value_or_an_error(text):
    with contextlib.suppress(ArithmeticFailedError):
        assert show(evaluate(text))
