"""What the calculator reads in a request: its numbers, and the expressions that they can form.

An expression that the request writes out is the only candidate. Otherwise the numbers are put into the forms that
answers take (x + y, x - y, x * y - z, ...), and the model chooses: which operation the words mean is its part. A form
that leaves numbers out weighs less than one that uses them all.
"""

import re
from collections.abc import Sequence

from agent_core.tools import ToolExample
from agent_skills.arithmetic import ArithmeticFailedError, evaluate
from agent_skills.builtin.calculator_phrases import spoken_expression
from agent_skills.numbers import find_numbers, in_digits
from agent_skills.reading import ReadExample, Understood

ARGUMENT = "expression"
SIGN_OF_EXPRESSION = 1.0
SIGN_OF_NUMBERS = 0.2
"""For each number beyond the first, or for one with a word such as `half`."""
WEIGHT_OF_UNUSED = -6.0
"""For each number of the request that a form leaves out; natural logarithm."""
LETTERS = "xyzwvu"
"""x is the first number of the request, y the second, ..."""

_OPERAND_BEFORE, _OPERAND_AFTER = r"(?<=[\d)])", r"(?=[\d(])"
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\N{SUPERSCRIPT TWO}", "**2"),
        (r"\N{SUPERSCRIPT THREE}", "**3"),
        (r"\s+(?:raised )?to the (\d+)(?:st|nd|rd|th)(?: power)?\b", r"**\1"),
        (
            r"(^|\b(?:is|calculate|compute|evaluate|solve|of|by|times)\s+)(?:minus|negative)\s+(?=\d)",
            r"\1-",
        ),
        (r"\s*\b(?:percent|per cent|pct)\b|\s+%", "%"),
        (
            rf"{_OPERAND_BEFORE}\s*(?:\^|\*\*|(?:raised )?to the power (?:of )?)\s*{_OPERAND_AFTER}",
            "**",
        ),
        (r"(?<=\d)\s*[x\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}]\s*(?=\d)", " * "),
        (r"(?<=\d)\s*[\N{DIVISION SIGN}:/]\s*(?=\d)", " / "),
        (rf"{_OPERAND_BEFORE}\s*(\*\*|[-+*])\s*{_OPERAND_AFTER}", r" \1 "),
        *(
            (rf"{_OPERAND_BEFORE}\s+(?:{words})\s+{_OPERAND_AFTER}", f" {sign} ")
            for words, sign in (
                ("plus", "+"),
                ("minus", "-"),
                ("times|multiplied (?:by|with)", "*"),
                ("divided by|over", "/"),
            )
        ),
    )
)
_DOZENS = re.compile(r"(?<=\d) (12\b)(?=\s|$|[.?!])")
_ORDINAL = re.compile(
    r"(?<!\bone )(?<!\ba )(?<!\ban )\b\d+(?:st|nd|rd|th)\b|\ba [12](?:st|nd)\b", re.IGNORECASE
)
"""Counts nothing, but for the denominator of a fraction: `first add 3 and 4`, `a third of 27`."""
_SERIES = re.compile(r"\d+(?:\.\d+)?(?:(?:, | and |, and )\d+(?:\.\d+)?)+")
_FRACTION = re.compile(r"\b(?:one|an?) (\d+)(?:rd|th)\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"(?:=|\b(?:is|was|makes|equals|equal to|(?:bigger|smaller|larger|greater|less|more|higher|lower) than))"
    r"\s*\d+(?:\.\d+)?",
    re.IGNORECASE,
)
"""What a written expression is held against: `is 17 * 6 more than 100`."""
_PART_OF_WHOLE = re.compile(
    r"\b(\d+) of (?:(?:the|all|his|her|my|our|their|its|these|those) )?(\d+)\b", re.IGNORECASE
)
_WRITTEN = re.compile(r"(?:(?<=\s)-|^-)?[(\d][\d.()+*/ -]*[+*/-][\d.()+*/ -]*[\d)]")

_ONE_NUMBER: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), forms)
    for words, forms in (
        (r"half|halve\w*|double[ds]?|twice", ("x / 2", "x * 2")),
        (r"triple\w*|thrice|thirds?", ("x * 3", "x / 3")),
        (r"quarters?", ("x / 4",)),
        (r"square root|sqrt", ("sqrt(x)",)),
        (r"squared?(?! root)|itself", ("x * x",)),
        (r"cube[ds]?", ("x * x * x",)),
    )
)
_TWO = ("x + y", "x - y", "y - x", "x * y", "x / y", "y / x")
_TWO_PERCENT = ("x% of y", "y% of x", "x - y% of x", "x + y% of x", "y - x% of y", "y + x% of y")
_PAIRS = tuple(f"{a} {sign} {b}" for a, b in (("x", "y"), ("y", "z"), ("x", "z")) for sign in "+-*/")
_THREE = (
    *_PAIRS,
    *("x + y + z", "x + y - z", "x - y + z", "x - y - z", "z - x - y", "x * y * z"),
    *("x * y + z", "x * y - z", "x + y * z", "x - y * z", "z - x * y", "z + x * y"),
    *("(x + y) * z", "(x - y) * z", "(x + y) / z", "(x - y) / z", "x * (y + z)", "x * (y - z)"),
    *("x * y / z", "x / y * z", "x / y + z", "x / y - z", "x + y / z", "z / (x + y)"),
    *("y * z / x", "y / x * z", "z / x * y"),
)
_THREE_PERCENT = (
    *("x% of y", "y% of x", "z% of x", "z% of y", "y% of z", "x% of z"),
    *("x * y - z% of (x * y)", "x + y% of x + z", "z% of (x + y)", "z% of (x * y)"),
)
_FOUR = (
    *("x + y + z + w", "x - y - z - w", "x * y * z * w", "x * y + z * w", "x * y - z * w", "x - y - z + w"),
    *("x + y - z - w", "x + y + z - w", "x - y + z - w", "x * y + z + w"),
)
_AVERAGE = re.compile(r"\b(?:average|mean)\b", re.IGNORECASE)


class CalculatorReader:
    """Reads arithmetic in English."""

    def read(self, text: str) -> Understood | None:
        """The expressions that the numbers of `text` can form; None where they form none."""
        request = rewrite(text)
        numbers = operands(request)
        sign = SIGN_OF_NUMBERS * max(1, len(numbers) - 1)
        written = written_expression(request)
        said = written or spoken_expression(request, len(numbers))
        if said and _value(said) is not None:
            sign = SIGN_OF_EXPRESSION if written or len(numbers) > 1 else sign
            return Understood(request=request, sign=sign, values={ARGUMENT: (said,)})
        candidates: dict[str, str] = {}
        for form in forms(request, numbers):
            candidates.setdefault(fill(form, numbers), form)
        values = [value for value in candidates if _value(value) is not None]
        if not values:
            return None
        return Understood(
            request=request,
            sign=sign,
            values={ARGUMENT: values},
            kinds={ARGUMENT: [candidates[value] for value in values]},
            log_weights={ARGUMENT: [_weight(candidates[value], len(numbers)) for value in values]},
        )

    def example(self, example: ToolExample) -> ReadExample:
        """The example with digits and plain signs; the kind of its expression is its form."""
        request = rewrite(example.utterance)
        form = form_of(str(example.arguments[ARGUMENT]), operands(request))
        shot = ToolExample(utterance=request, arguments=example.arguments)
        return ReadExample(shot=shot, masked=example.utterance, kinds={ARGUMENT: form})

    def mask(self, text: str) -> str:
        """The text as it stands: the router makes numbers equal by itself."""
        return text


def rewrite(text: str) -> str:
    """The request as the model shall see it: digits for number words, one spelling a sign, one line."""
    digits = in_digits(text)
    if "dozen" in text.lower():
        digits = _DOZENS.sub(r"* \1", digits)
    for pattern, replacement in _SPELLINGS:
        digits = pattern.sub(replacement, digits)
    return " ".join(digits.split())


def operands(request: str) -> list[str]:
    """The numbers of a rewritten request that may be calculated with.

    Ordinals count nothing, and neither does a number that says how many follow: `in 3 bowls are 11, 7 and 16`.
    """
    numbers = find_numbers(_ORDINAL.sub("", request))
    series = _SERIES.search(request)
    listed = find_numbers(series.group()) if series else []
    return listed if listed and numbers == [str(len(listed)), *listed] else numbers


def written_expression(request: str) -> str:
    """The expression that a rewritten request spells out, or the empty string where it leaves numbers out."""
    longest = max(_WRITTEN.findall(request), key=len, default="").strip()
    count = len(find_numbers(longest))
    if count < 2:
        return ""
    before, _, after = request.partition(longest)
    others = operands(before + _COMPARED.sub("", after))
    complete = not others and not after.startswith("%")
    return longest if complete and _value(longest) is not None else ""


def forms(request: str, numbers: Sequence[str]) -> Sequence[str]:
    """The forms that an answer may take, over letters, by how many numbers there are."""
    average = [f"avg({', '.join(LETTERS[: len(numbers)])})"] if _AVERAGE.search(request) else []
    match len(numbers):
        case 0:
            return ()
        case 1:
            return [form for words, some in _ONE_NUMBER if words.search(request) for form in some]
        case 2:
            chosen: Sequence[str] = _TWO_PERCENT if "%" in request else _of_two(request, numbers)
        case 3:
            chosen = _THREE_PERCENT if "%" in request else _THREE
        case 4:
            chosen = _FOUR
        case count if count <= len(LETTERS):
            chosen = [sign.join(LETTERS[:count]) for sign in (" + ", " - ", " * ")]
        case _:
            return ()
    return [form for form in (*average, *chosen) if (_value(fill(form, numbers)) or 0) >= 0]


def _of_two(request: str, numbers: Sequence[str]) -> Sequence[str]:
    """Two numbers: what is left of a whole where one is a part of it or a fraction, else all that is plausible."""
    fraction = _FRACTION.search(request)
    if fraction:
        denominator, whole = ("x", "y") if fraction.group(1) == numbers[0] else ("y", "x")
        return (f"{whole} / {denominator}", f"{whole} - {whole} / {denominator}")
    part = _PART_OF_WHOLE.search(request)
    if part and 0 < float(part.group(1)) < float(part.group(2)):
        return ("y - x",)
    return _plausible(numbers)


def _weight(form: str, count: int) -> float:
    return WEIGHT_OF_UNUSED * max(0, count - len(set(re.findall(r"\b[xyzwvu]\b", form))))


def _plausible(numbers: Sequence[str]) -> Sequence[str]:
    """Two numbers: nothing negative, and the division that comes out whole if one does."""
    x, y = (float(number) for number in numbers)
    division = "y / x" if x and y % x == 0 and not (y and x % y == 0) else "x / y"
    return [form for form in _TWO if form in {"x + y", "x * y", "x - y" if x >= y else "y - x", division}]


def fill(form: str, numbers: Sequence[str]) -> str:
    """`x + y` over 3 and 4 -> `3 + 4`; names of functions are left alone."""
    return re.sub(r"\b[xyzwvu]\b", lambda match: numbers[LETTERS.index(match.group())], form)


def form_of(expression: str, numbers: Sequence[str]) -> str:
    """`3 + 4` over 3 and 4 -> `x + y`: each letter once, as long as there are letters left."""
    free = list(enumerate(numbers))

    def letter(match: re.Match[str]) -> str:
        fitting = [one for one in free if one[1] == match.group()]
        if fitting:
            free.remove(fitting[0])
            return LETTERS[fitting[0][0]]
        return LETTERS[numbers.index(match.group())] if match.group() in numbers else match.group()

    return re.sub(r"\d+(?:\.\d+)?", letter, expression)


def _value(expression: str) -> float | None:
    try:
        return float(evaluate(expression))
    except (ArithmeticFailedError, OverflowError):
        return None
