"""How alike two requests are, by their words: no model, no vectors, no dependencies.

Words, pairs of words and pieces of words, weighted by how rare they are among the examples. Numbers, signs and file
names are made equal first, since it is the wording around them that tells what is asked. Static word vectors
(`wordllama`, 256 dimensions, 19 MB) proposed the right tool for 128 of 140 prompts, this for 131.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent_skills.numbers import replace_numbers

FILE_NAME = re.compile(r"\b[\w-]+(?:/[\w.-]+)*\.[a-z]{1,5}\b", re.IGNORECASE)
_OPERATOR = re.compile(r"(?<=[\d)\s])[-+*/x\N{MULTIPLICATION SIGN}\N{DIVISION SIGN}^](?=[\s\d(])|[=%]")
_CONTRACTION = re.compile(
    r"\b(what|how|who|where|when|that|it|there|here)['\N{RIGHT SINGLE QUOTATION MARK}]?s\b"
)
_WORD = re.compile(r"[^\W_]+")
_POLITENESS = re.compile(
    r"\b(?:please|pls|kindly|thanks|thank you|(?:could|can|would|will) you|i would like to|i want to|for me)\b"
)
_PIECES = (3, 4)
_WEIGHTS = {"word": 1.0, "pair": 1.0, "piece": 0.35}
_UNSEEN = 0.5
"""Share of their rarity with which words count that no example has: in full they punish long requests, at a quarter
small talk drifts towards tools."""

Feature = tuple[str, str]
Scores = list[float]


class Near(NamedTuple):
    """An example and how alike it is, 0 to 1."""

    score: float
    place: int
    """Of the text among those indexed."""


def shape(text: str) -> str:
    """The words of a text but for politeness, with numbers, signs and file names made equal."""
    text = FILE_NAME.sub(" fffile ", text)
    text = replace_numbers(text, lambda _: " nnn ")
    text = _OPERATOR.sub(" ooo ", text)
    text = _CONTRACTION.sub(r"\1 is", text.lower())
    plain = _WORD.findall(_POLITENESS.sub(" ", text))
    return " ".join(plain or _WORD.findall(text))


def features(text: str) -> Counter[Feature]:
    """What is compared of a text."""
    words = shape(text).split()
    counts: Counter[Feature] = Counter()
    for word in words:
        counts["word", word] += 1
        padded = f"^{word}$"
        for size in _PIECES:
            counts.update(("piece", padded[at : at + size]) for at in range(len(padded) - size + 1))
    counts.update(("pair", f"{one} {two}") for one, two in zip(["^", *words], [*words, "$"], strict=True))
    return counts


class SimilarityIndex:
    """Texts that can be searched by likeness."""

    def __init__(self, texts: Sequence[str]) -> None:
        counted = [features(text) for text in texts]
        spread = Counter(feature for counts in counted for feature in counts)
        total = len(counted)
        self._rarity = {feature: math.log((total + 1) / (count + 0.5)) for feature, count in spread.items()}
        self._unseen = _UNSEEN * math.log((total + 1) / 0.5)
        self._size = total
        self._places: dict[Feature, list[tuple[int, float]]] = {}
        """For each feature, the texts that have it and its weight there: a request shares few with most of them."""
        for place, counts in enumerate(counted):
            for feature, weight in self._vector(counts).items():
                self._places.setdefault(feature, []).append((place, weight))

    def scores(self, text: str) -> Scores:
        """How alike each text is, by its place; to be made once where several parts of the index are searched."""
        scores = [0.0] * self._size
        for feature, weight in self._vector(features(text)).items():
            for place, other in self._places.get(feature, ()):
                scores[place] += weight * other
        return scores

    def nearest(self, text: str | Scores, among: Sequence[int] | None = None) -> list[Near]:
        """The texts by likeness, the likest first; `among` names those to look at."""
        scores = self.scores(text) if isinstance(text, str) else text
        found = [Near(scores[place], place) for place in (range(self._size) if among is None else among)]
        return sorted(found, key=lambda near: (-near.score, near.place))

    def _vector(self, counts: Mapping[Feature, int]) -> Mapping[Feature, float]:
        weighted = {
            feature: math.sqrt(count) * self._rarity.get(feature, self._unseen) * _WEIGHTS[feature[0]]
            for feature, count in counts.items()
        }
        norm = math.sqrt(sum(value * value for value in weighted.values())) or 1.0
        return {feature: value / norm for feature, value in weighted.items()}
