"""Numbers in English text, in digits or in words: found, and made equal."""

import re
from collections.abc import Callable
from typing import cast

import text_to_num

_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|(?<![\d.])\.\d+")
_SCALED = re.compile(r"\b(\d+(?:\.\d+)?)\s+(hundred|thousand|million)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(?:an?|the)\s+(?=1\d{2,}\b)", re.IGNORECASE)
"""Before a number that was `hundred` or `thousand`: `a hundred and five` -> `a 105` -> `105`."""
_SCALE_WORD = re.compile(r"\b(?:hundred|thousand|million)\b", re.IGNORECASE)
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_DOZEN = re.compile(r"\b(?:a\s+)?dozen\b", re.IGNORECASE)
_FOURTY = re.compile(r"\bfourty\b", re.IGNORECASE)
_ALONE = re.compile(r"\b(one|two|three)\b", re.IGNORECASE)
_ALL, _FROM_THREE = 0.0, 3.0
"""Thresholds under which number words that stand alone stay words."""
_SMALL = {"one": "1", "two": "2", "three": "3"}


# The wheel (text2num, Rust) carries no types.
_alpha2digit = cast("Callable[[str, str, float], str]", text_to_num.alpha2digit)  # pyright: ignore[reportUnknownMemberType]


def in_digits(text: str) -> str:
    """The text with digits for number words: `twenty-five percent of a hundred` -> `25 percent of 100`.

    `one` stays a word unless it is needed as an operand: mostly it is a pronoun (`what does one cost`).
    """
    text = _FOURTY.sub("forty", text)
    text = _SCALED.sub(_scaled, text)
    text = _DOZEN.sub("12", text)
    digits = _alpha2digit(text, "en", _ALL) if not _ALONE.search(text) else _with_small(text)
    text = _ARTICLE.sub("", digits) if _SCALE_WORD.search(text) else digits
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)


def _scaled(match: re.Match[str]) -> str:
    value = float(match[1]) * _SCALES[match[2].lower()]
    return f"{value:.0f}" if value == int(value) else str(value)


def _with_small(text: str) -> str:
    """Small number words alone: `two` and `three` are numbers; `one` only where another operand is missing."""
    marked = _alpha2digit(text, "en", _FROM_THREE)  # `one` and `two` of nothing larger stay words
    marked = re.sub(
        r"\b(two|three)\b", lambda match: _SMALL[match.group().lower()], marked, flags=re.IGNORECASE
    )
    is_operand = re.search(
        r"\b(plus|minus|times|divided|add|subtract|one and|and one)\b", marked, re.IGNORECASE
    )
    if len(_NUMBER.findall(marked)) < 2 and is_operand:
        marked = re.sub(r"\bone\b", "1", marked, flags=re.IGNORECASE)
    return marked


def find_numbers(text: str) -> list[str]:
    """The numbers of a text in digits, as they stand, in reading order."""
    return _NUMBER.findall(text)


def replace_numbers(text: str, by: Callable[[str], str]) -> str:
    """The text with every number, in digits or words, replaced."""
    return _NUMBER.sub(lambda match: by(match.group()), in_digits(text))
