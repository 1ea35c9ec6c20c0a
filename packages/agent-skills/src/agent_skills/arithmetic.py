"""Exact arithmetic on expressions as people write them: `12% of 80`, `7 x 8`, `2^10`, `sqrt(2) / 3`.

A Pratt parser over fractions: no names, no attributes, nothing of Python is evaluated, and every size is bounded
before a number grows. Precedence is Python's: `-2 ** 2` is -4, `//` and `%` round down.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from typing import NamedTuple

from agent_skills.errors import SkillFailedError

MAX_CHARS = 500
"""Characters of one expression."""
MAX_DEPTH = 50
"""Brackets and signs inside one another."""
MAX_BITS = 3_400
"""Bits of a numerator or denominator: about 1,000 digits."""
MAX_POWER = 10_000
"""The largest exponent, whatever its base."""
SHOWN_DIGITS = 15
"""Significant digits shown of a number that has no end, or too long a one."""

_WORKING = Context(prec=50)  # for roots and broken powers, which no fraction holds
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)"
    r"|(?P<name>[A-Za-z]+)|(?P<sign>\*\*|//|[-+*/%(),]))"
)
_SPELLINGS = (
    (re.compile(r"(?<=[0-9)%])\s+[xX]\s+(?=[0-9(])"), " * "),
    (re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))"), ""),
    (re.compile(r"[$€£]"), ""),
    (re.compile(r"[=?\s]+$"), ""),
)
_SIGNS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "^": "**",
        "[": "(",
        "]": ")",
    }
)


class ArithmeticFailedError(SkillFailedError):
    """An expression that cannot be read or has no value; the text says where and why."""


class _Value(NamedTuple):
    """A value, and whether it was written as a bare percentage: `80 + 10%` says of what 10 % is meant only to people."""

    number: Fraction
    is_percent: bool = False


def evaluate(expression: str) -> Fraction:
    """The value of an expression: exact, but for roots and broken powers (50 digits).

    Raises:
        ArithmeticFailedError: it is too long, cannot be read, has no value, or a value that is too large.
    """
    if len(expression) > MAX_CHARS:
        raise _unreadable(f"it has {len(expression)} characters, at most {MAX_CHARS} are read")
    return _Parser(_tokens(_respell(expression))).whole()


def show(number: Fraction) -> str:
    """A number for people: integers in full, 0.3 for 3/10, 15 significant digits of what has no end."""
    if number.denominator == 1:
        return str(number.numerator)
    exact = Context(prec=SHOWN_DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator))
    shown = exact.normalize()
    return f"{shown:f}" if shown.adjusted() >= -SHOWN_DIGITS else f"{shown:e}"


@dataclass(frozen=True)
class _Binary:
    strength: int
    apply: Callable[[Fraction, Fraction], Fraction]


@dataclass(frozen=True)
class _Function:
    least: int
    most: int
    apply: Callable[[Sequence[Fraction]], Fraction]


def _divide(left: Fraction, right: Fraction) -> Fraction:
    _check_divisor(right)
    return left / right


def _floor_divide(left: Fraction, right: Fraction) -> Fraction:
    _check_divisor(right)
    return Fraction(left // right)


def _remainder(left: Fraction, right: Fraction) -> Fraction:
    _check_divisor(right)
    return left % right


def _check_divisor(right: Fraction) -> None:
    if right == 0:
        raise ArithmeticFailedError("division by zero has no value", code="no_value")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if base == 0 and exponent < 0:
        _check_divisor(base)
    if abs(exponent) > MAX_POWER:
        raise _too_large()
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base not in {0, 1, -1} and (bits - 1) * abs(exponent.numerator) > MAX_BITS:
            raise _too_large()
        return base**exponent.numerator
    if base < 0:
        raise ArithmeticFailedError("a broken power of a negative number has no real value", code="no_value")
    if exponent == Fraction(1, 2):
        return _square_root(base)
    try:
        power = _WORKING.power(_decimal(base), _decimal(exponent))
    except DecimalException:
        raise _too_large() from None
    if power and abs(power.adjusted()) > MAX_BITS // 4:  # as a fraction it would take that many digits
        raise _too_large()
    return Fraction(power)


def _square_root(number: Fraction) -> Fraction:
    if number < 0:
        raise ArithmeticFailedError("a negative number has no real square root", code="no_value")
    above, below = math.isqrt(number.numerator), math.isqrt(number.denominator)
    if above**2 == number.numerator and below**2 == number.denominator:
        return Fraction(above, below)
    return Fraction(_WORKING.sqrt(_decimal(number)))


def _round(number: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    """Half away from zero, as in school; Python's own way to the even neighbour surprises people."""
    if digits.denominator != 1 or abs(digits) > SHOWN_DIGITS:
        raise _unreadable(f"round takes a whole number of digits, at most {SHOWN_DIGITS}")
    scale = Fraction(10) ** digits.numerator
    size = math.floor(abs(number) * scale + Fraction(1, 2)) / scale
    return size if number >= 0 else -size


def _decimal(number: Fraction) -> Decimal:
    return _WORKING.divide(Decimal(number.numerator), Decimal(number.denominator))


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise _too_large()
    return number


def _too_large() -> ArithmeticFailedError:
    return ArithmeticFailedError(
        "the number gets too large or too small: at most 1,000 digits are kept", code="no_value"
    )


def _unreadable(problem: str) -> ArithmeticFailedError:
    return ArithmeticFailedError(f"the expression cannot be read: {problem}", code="invalid_arguments")


_SIGN_STRENGTH = 3
_BINARY: dict[str, _Binary] = {
    "+": _Binary(1, lambda a, b: a + b),
    "-": _Binary(1, lambda a, b: a - b),
    "*": _Binary(2, lambda a, b: a * b),
    "of": _Binary(2, lambda a, b: a * b),
    "/": _Binary(2, _divide),
    "//": _Binary(2, _floor_divide),
    "%": _Binary(2, _remainder),
    "**": _Binary(4, _power),
}
_MANY = 50
_FUNCTIONS: dict[str, _Function] = {
    "sqrt": _Function(1, 1, lambda numbers: _square_root(numbers[0])),
    "abs": _Function(1, 1, lambda numbers: abs(numbers[0])),
    "round": _Function(1, 2, lambda numbers: _round(*numbers)),
    "floor": _Function(1, 1, lambda numbers: Fraction(math.floor(numbers[0]))),
    "ceil": _Function(1, 1, lambda numbers: Fraction(math.ceil(numbers[0]))),
    "min": _Function(1, _MANY, min),
    "max": _Function(1, _MANY, max),
    "sum": _Function(1, _MANY, lambda numbers: sum(numbers, Fraction(0))),
    "avg": _Function(1, _MANY, lambda numbers: sum(numbers, Fraction(0)) / len(numbers)),
}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _respell(expression: str) -> str:
    text = expression.translate(_SIGNS)
    for pattern, by in _SPELLINGS:
        # In `max(1,200)` the comma parts two arguments; where there is a function, no thousands are read.
        if by or pattern.pattern[0] != "(" or not re.search(r"[A-Za-z]\s*\(", text):
            text = pattern.sub(by, text)
    return text


def _tokens(text: str) -> Sequence[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(f"{text[at:].strip()[:10]!r} at position {at + 1} is no part of arithmetic")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind].lower() if kind == "name" else match[kind], match.start(kind)))
        at = match.end()
    return (*tokens, _Token("end", "", len(text)))


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, text: str) -> bool:
        if self._next.kind == "end" or self._next.text != text:
            return False
        self._at += 1
        return True

    def whole(self) -> Fraction:
        value = self._expression(0)
        if self._next.kind != "end":
            raise _unreadable(f"{self._next.text!r} at position {self._next.at + 1} is not expected there")
        return value.number

    def _expression(self, least: int) -> _Value:
        """An expression whose operators bind stronger than `least`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _unreadable(f"it is nested more than {MAX_DEPTH} deep")
        left = self._operand()
        while True:
            sign = self._next.text
            if sign == "%" and self._is_percent():
                self._at += 1
                left = _Value(left.number / 100, is_percent=True)
                continue
            if sign not in _BINARY or _BINARY[sign].strength <= least:
                break
            self._at += 1
            operator = _BINARY[sign]
            # A power is read from the right; everything else from the left.
            right = self._expression(operator.strength - (sign == "**"))
            if sign in {"+", "-"} and right.is_percent and not left.is_percent:
                raise _unreadable(
                    f"say of what the percentage after {sign!r} is meant, as in 80 {sign} 10% of 80"
                )
            left = _Value(_bounded(operator.apply(left.number, right.number)))
        self._depth -= 1
        return left

    def _is_percent(self) -> bool:
        """`%` is a percentage unless an operand follows; then it is the remainder, as in Python."""
        follower = self._tokens[self._at + 1]
        if follower.text == "-":
            raise _unreadable("`%` before `-` can mean two things; use brackets")
        return follower.kind != "number" and follower.text != "(" and follower.text not in _FUNCTIONS

    def _operand(self) -> _Value:
        token = self._next
        self._at += 1
        if token.kind == "number":
            return _Value(_bounded(Fraction(token.text)))
        if token.text in {"-", "+"}:
            value = self._expression(_SIGN_STRENGTH).number
            return _Value(-value if token.text == "-" else value)
        if token.text == "(":
            value = self._expression(0).number
            self._close()
            return _Value(value)
        if token.text in _FUNCTIONS:
            return _Value(self._function(token.text))
        if token.kind == "end":
            raise _unreadable("a number is missing at its end")
        raise _unreadable(
            f"{token.text!r} at position {token.at + 1} is no number; functions are {', '.join(_FUNCTIONS)}"
        )

    def _function(self, name: str) -> Fraction:
        if not self._take("("):
            raise _unreadable(f"{name} needs brackets, as in {name}(2)")
        arguments = [self._expression(0).number]
        while self._take(","):
            arguments.append(self._expression(0).number)
        self._close()
        function = _FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            raise _unreadable(
                f"{name} takes {function.least} to {function.most} numbers, not {len(arguments)}"
            )
        return _bounded(function.apply(arguments))

    def _close(self) -> None:
        if not self._take(")"):
            raise _unreadable(f"a `)` is missing at position {self._next.at + 1}")
