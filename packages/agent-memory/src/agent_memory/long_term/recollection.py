"""What a search gives back, and why: hits with their reasons in words. Pure."""

import re
from collections.abc import Mapping

import msgspec

from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.episodes import Episode
from agent_memory.long_term.facts import Fact
from agent_memory.long_term.ranking import Query
from agent_memory.long_term.when import Span, span_of
from agent_memory.questions import ends_of

_ASKS_WHEN = re.compile(
    r"\b(when|how long|what (date|day|month|year|time)|which (date|day|month|year))\b", re.IGNORECASE
)
_CAPITALISED = re.compile(r"\b[^\W\d_][\w-]*")

_REASONS = {
    "around": "the words of the question, in it and in what was said around it",
    "session": "the words of the question, in the same session",
    "meaning": "a similar meaning",
    "speaker": "the question names who said it",
    "personal": "the speaker tells of themselves",
    "question": "it only asks",
    "length": "how much it says",
    "timed": "it speaks of a time, and the question asks for one",
    "in_time": "it was said at the time that the question names",
    "recency": "it is recent",
    "importance": "it was marked as important",
    "spread": "better hits of the same session",
    "terms": "the words of the question",
}


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was found."""

    score: float
    signals: Mapping[str, float]
    """What each signal adds to the score: the fields of `Weights`, or `terms` for a fact."""
    terms: tuple[str, ...] = ()
    """The question's words (stems) that it holds itself."""
    span: Span | None = None
    """The time that the question named."""
    sources: tuple[int, ...] = ()
    """Of a fact: the ids of the episodes that say so."""

    def __str__(self) -> str:
        """In words, the weightiest first."""
        parts = [
            f"{_REASONS[name]} ({value:+.2f})"
            for name, value in sorted(self.signals.items(), key=lambda item: -abs(item[1]))
        ]
        words = f" [{', '.join(self.terms)}]" if self.terms else ""
        time = f"; the question is about {self.span.words!r}" if self.span else ""
        return f"{self.score:.2f}: " + ", ".join(parts) + words + time


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something found: an episode, or a fact."""

    item: Episode | Fact
    reason: Why

    @property
    def score(self) -> float:
        """The higher, the better; comparable within one search only."""
        return self.reason.score

    @property
    def text(self) -> str:
        """What it says."""
        return self.item.text if isinstance(self.item, Episode) else self.item.sentence

    def why(self) -> Why:
        """Why it was found, and where from; `str()` of it is a sentence."""
        return self.reason


def ask(text: str, now: float, analyzer: Analyzer) -> Query:
    """A question taken apart."""
    text = ends_of(text)
    words = _CAPITALISED.findall(text.replace("'s", "").replace("\u2019s", ""))
    return Query(
        text=text,
        terms=tuple(dict.fromkeys(analyzer.terms(text))),
        now=now,
        span=span_of(text, now),
        asks_when=bool(_ASKS_WHEN.search(text)),
        capitalised=frozenset(word.casefold() for word in words if word[0].isupper()),
    )
