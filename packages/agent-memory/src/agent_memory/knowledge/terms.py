"""How a text is read when words are compared: parts of names, stems, how near words stand. Pure.

BM25 does not see whether the words of a query stand together; for names of two words and more that decides (sequential
dependence model: Metzler and Croft, SIGIR 2005).
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import cast

import Stemmer

from agent_memory.embedders.words import parts_of, words_of

_STOP = frozenset(  # the words that a question is made of, whatever it is about
    """a an and are as at be but by for from has have how i if in into is it its no not of on or such that the their
    then there these they this to was what when where which who why will with you your do does can""".split()  # noqa: SIM905  # a list of fifty strings is harder to read
)
_NEAR = 8
_stems = cast("Callable[[list[str]], list[str]]", Stemmer.Stemmer("english").stemWords)  # pyright: ignore[reportUnknownMemberType]
_REMEMBERED = 30_000
"""Words whose stems are kept: some 6 MB at most."""
_LONGEST = 40
"""Longer runs of letters are data: they do not come again."""
_NAME = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|_")


class _Stems(dict[str, tuple[str, ...]]):
    """The stems of a word's parts, remembered: a text has few words that no text before it had."""

    def __missing__(self, word: str) -> tuple[str, ...]:
        stems = tuple(_stems(parts_of(word)))
        if len(self) >= _REMEMBERED:
            self.clear()
        if len(word) <= _LONGEST:
            self[word] = stems
        return stems


_stems_of = _Stems()


def with_parts(text: str) -> str:
    """The text with the parts of its names beside them: `readCsv` is found by `csv` too."""
    if not _NAME.search(text):
        return text
    told: list[str] = []
    for word in words_of(text):
        told.append(word)
        parts = parts_of(word)
        if len(parts) > 1:
            told += parts
    return " ".join(told)


def query_terms(query: str) -> list[str]:
    """The stems of a query in their order, without words that say nothing."""
    words = (part for word in words_of(query) for part in parts_of(word))
    return _stems([word for word in words if word not in _STOP])


def nearness(terms: Sequence[str], text: str) -> float:
    """The share of neighbouring terms of a query that stand within eight words of each other in `text`, 0 to 1."""
    pairs = [(one, two) for one, two in itertools.pairwise(terms) if one != two]
    if not pairs:
        return 0.0
    wanted = set(terms)
    places: dict[str, list[int]] = {}
    stems = itertools.chain.from_iterable(map(_stems_of.__getitem__, words_of(text)))
    for place, stem in enumerate(stems):
        if stem in wanted:
            places.setdefault(stem, []).append(place)
    return sum(_times_near(places.get(one), places.get(two)) for one, two in pairs) / len(pairs)


def _times_near(first: Sequence[int] | None, second: Sequence[int] | None) -> float:
    """How often two words stand near each other, bent so that the first time counts most: 0 to 1."""
    if not first or not second:
        return 0.0
    times = sum(1 for one in first if any(abs(one - two) <= _NEAR for two in second))
    return times / (times + 1.0)
