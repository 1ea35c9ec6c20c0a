"""Phrases that name an operation together with its operands: `add 3 to 4`, `the quotient of 20 and 4`, `half of 30`.

Such a phrase says as much as a sign does, so nothing is left for a model to choose. Requests come here as
`calculator_reading.rewrite` leaves them: digits for words, ordinals as `4th`.
"""

import re
from typing import NamedTuple

_NUMBER = r"(\d+(?:\.\d+)?)"
_SERIES = r"(\d+(?:\.\d+)?(?:(?:,\s*(?:and\s+)?|\s+and\s+)\d+(?:\.\d+)?)+)"
_END = r"(?![\d.,]*\d|%)"


class _Phrase(NamedTuple):
    pattern: re.Pattern[str]
    template: str
    """Over the numbers of the phrase; a series is joined by the sign in `series`."""
    series: str = ""


def _phrase(pattern: str, template: str, series: str = "") -> _Phrase:
    spelled = pattern.replace("#", _NUMBER).replace("@", _SERIES)
    return _Phrase(re.compile(rf"\b{spelled}{_END}", re.IGNORECASE), template, series)


_RISE, _FALL = "(?:increase|raise|grow)", "(?:decrease|reduce|lower|cut)"
_PHRASES = (
    _phrase(r"(?:add(?: up| together)?|sum up|(?:sum|total) of) @", "", " + "),
    _phrase(r"(?:multiply|product of) @", "", " * "),
    _phrase(r"(?:average|mean) of @", "avg({})", ", "),
    _phrase(r"add # to #", "{0} + {1}"),
    _phrase(r"(?:subtract|deduct|take(?: away)?) # (?:from|off) #", "{1} - {0}"),
    _phrase(r"multiply # (?:by|with) #", "{0} * {1}"),
    _phrase(r"divide # (?:by|in|into) #", "{0} / {1}"),
    _phrase(r"(?:quotient|ratio) (?:of|between) # (?:and|to|by) #", "{0} / {1}"),
    _phrase(rf"{_RISE} # by #(?:%)", "{0} + {1}% of {0}"),
    _phrase(rf"{_FALL} # by #(?:%)", "{0} - {1}% of {0}"),
    _phrase(r"# \+ #(?:%)", "{0} + {1}% of {0}"),
    _phrase(r"# - #(?:%)", "{0} - {1}% of {0}"),
    _phrase(rf"{_RISE} # by #", "{0} + {1}"),
    _phrase(rf"{_FALL} # by #", "{0} - {1}"),
    _phrase(r"(?:one|an?) #(?:th|rd) of #", "{1} / {0}"),
    _phrase(r"# #(?:ths|rds) of #", "{2} * {0} / {1}"),
    _phrase(r"# quarters of #", "{1} * {0} / 4"),
    _phrase(r"(?:one |an? )?quarter of #", "{0} / 4"),
    _phrase(r"half (?:of )?#", "{0} / 2"),
    _phrase(r"(?:double|twice) #", "{0} * 2"),
    _phrase(r"(?:triple|thrice) #", "{0} * 3"),
    _phrase(r"(?:square root|sqrt|root) (?:of )?#", "sqrt({0})"),
    _phrase(r"square of #", "{0} * {0}"),
    _phrase(r"cube of #", "{0} * {0} * {0}"),
)
_DIFFERENCE = re.compile(rf"\bdifference (?:of|between) {_NUMBER} and {_NUMBER}{_END}", re.IGNORECASE)


def spoken_expression(request: str, count: int) -> str:
    """The expression that a phrase of a rewritten request names, or the empty string.

    Args:
        request: the request with digits for number words.
        count: how many numbers it has; a phrase that leaves one out does not say it all.
    """
    difference = _DIFFERENCE.search(request)
    if difference and count == 2:
        return " - ".join(sorted(difference.groups(), key=float, reverse=True))
    for phrase in _PHRASES:
        match = phrase.pattern.search(request)
        if match is None:
            continue
        numbers = re.findall(r"\d+(?:\.\d+)?", match.group(1)) if phrase.series else list(match.groups())
        if len(numbers) == count:
            template = phrase.template or "{}"
            return (
                template.format(phrase.series.join(numbers)) if phrase.series else template.format(*numbers)
            )
    return ""
