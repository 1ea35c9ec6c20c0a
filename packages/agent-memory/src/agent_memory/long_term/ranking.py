"""Which episodes answer a question best: a weighted sum of a few signals, each of which can be shown. Pure.

The heart is BM25 over an episode and, less and less, over those around it: people answer without repeating the words of
the question. The signals were chosen, and the weights fitted, on some conversations and checked on others
(`bench/memory.py` says on which, and with what result). Age lowers a rank and never hides anything.
"""

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from agent_memory.long_term.when import Span

REACH_BEFORE = 4
REACH_AFTER = 2
_AROUND = {-4: 0.1, -3: 0.18, -2: 0.33, -1: 0.6, 0: 1.0, 1: 0.3, 2: 0.165}
"""How much the words of a neighbour count, by its distance."""
_MARK = 2.0
"""A word that names the speaker or the day counts as if it had been said twice."""
_K1 = 1.0
_B = 0.5
"""BM25's saturation and how much length matters."""
_MEAN_LENGTH = 12.0
"""Of an episode, in terms: a turn of a conversation. A constant, so that a score does not move with what else is kept."""
_LONG = 60
"""Terms of a turn that is long. What is longer, such as a pasted document, gains nothing by it, and to those around it
it says as much as a turn of so many: else its words would drown theirs."""
_HALF_LIFE_S = 365 * 86_400.0

QUESTION, PERSONAL, TIMED = 1, 2, 4
"""The bits of `Passage.traits`."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What each signal counts. Every signal is between 0 and 1, but for the length."""

    around: float = 14.5
    """The words of the question are in the episode and in its neighbours."""
    session: float = 2.7
    """Its session holds them."""
    meaning: float = 4.5
    """Its vector is like the question's."""
    speaker: float = 0.75
    """The question names who said it, and nobody else."""
    personal: float = 0.8
    """Somebody tells of themselves."""
    question: float = -1.2
    """It only asks."""
    length: float = 0.55
    """The logarithm of its length."""
    timed: float = 2.0
    """It speaks of a time, and the question asks for one."""
    in_time: float = 3.0
    """It was said in the time that the question names."""
    recency: float = 0.2
    """It was said lately: 1 now, half a year ago 0.7, a year ago 0.5."""
    importance: float = 1.0
    """As it was told when it was added."""
    spread: float = 0.25
    """Taken off for each better hit of the same session: what is asked for is often told more than once."""


class Passage(NamedTuple):
    """An episode as it is ranked."""

    id: int
    session_id: str
    ordinal: int
    speaker: str
    said_at: float
    importance: float
    traits: int
    terms: Sequence[str]
    marks: Sequence[str]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question, taken apart."""

    text: str
    terms: tuple[str, ...]
    """Each once."""
    now: float
    span: Span | None = None
    asks_when: bool = False
    capitalised: frozenset[str] = frozenset()
    """The words that may be names."""


class Corpus(NamedTuple):
    """What is known of the whole memory."""

    size: int
    documents: Mapping[str, int]
    """In how many episodes each term is."""


class Scored(NamedTuple):
    """An episode's score, and what it is made of."""

    id: int
    score: float
    signals: Mapping[str, float]
    """What each signal adds to the score."""
    terms: tuple[str, ...]
    """The terms of the question that it holds itself."""


class _Counted(NamedTuple):
    """How often each term of the question is in one passage, and how long that is."""

    said: Mapping[str, int]
    marks: Mapping[str, int]
    length: int


def rank(
    query: Query,
    candidates: Sequence[Passage],
    corpus: Corpus,
    likeness: Mapping[int, float],
    weights: Weights,
) -> list[Scored]:
    """The candidates, best first; of equals, the newest.

    Args:
        query: The question.
        candidates: The matches and their neighbours.
        corpus: For how rare a term is.
        likeness: Cosine to the question by id, where vectors are known.
        weights: What each signal counts.
    """
    rarity = {
        term: math.log(1 + (corpus.size - found + 0.5) / (found + 0.5))
        for term in query.terms
        if (found := corpus.documents.get(term, 0))
    }
    total = sum(rarity.values()) or 1.0
    wanted = set(query.terms)
    counted = {(one.session_id, one.ordinal): _count(one, wanted) for one in candidates}
    sessions = _coverage(counted, rarity, total)
    speakers = {one.speaker for one in candidates if one.speaker}
    named = {speaker for speaker in speakers if query.capitalised & set(speaker.casefold().split())}
    named_one = named.pop() if len(named) == 1 else None
    counts = msgspec.structs.asdict(weights)
    scored: list[Scored] = []
    for one in candidates:
        own = counted[one.session_id, one.ordinal]
        signals = {
            "around": _around(one, counted, rarity) / total,
            "session": sessions[one.session_id],
            "meaning": max(0.0, likeness.get(one.id, 0.0)),
            "speaker": one.speaker == named_one,
            "personal": one.traits & PERSONAL > 0,
            "question": one.traits & QUESTION > 0,
            "length": math.log1p(min(own.length, _LONG)),
            "timed": query.asks_when and one.traits & TIMED > 0,
            "in_time": query.span is not None and query.span.holds(one.said_at),
            "recency": 0.5 ** (max(0.0, query.now - one.said_at) / _HALF_LIFE_S),
            "importance": one.importance,
        }
        parts = {name: counts[name] * value for name, value in signals.items() if value}
        terms = tuple(term for term in query.terms if term in own.said or term in own.marks)
        scored.append(Scored(one.id, sum(parts.values()), parts, terms))
    scored.sort(key=lambda one: (-one.score, -one.id))
    return _spread(scored, {one.id: one.session_id for one in candidates}, weights.spread)


def _spread(scored: Sequence[Scored], session_of: Mapping[int, str], each: float) -> list[Scored]:
    """The scored, with `each` taken off a score for every better one of the same session."""
    waiting: dict[str, deque[Scored]] = {}
    for one in scored:
        waiting.setdefault(session_of[one.id], deque()).append(one)
    taken = dict.fromkeys(waiting, 0)
    best = [(-queue[0].score, -queue[0].id, session_id) for session_id, queue in waiting.items()]
    heapq.heapify(best)
    spread: list[Scored] = []
    while best:
        *_, session_id = heapq.heappop(best)
        queue = waiting[session_id]
        one, less = queue.popleft(), each * taken[session_id]
        signals = {**one.signals, "spread": -less} if less else one.signals
        spread.append(one._replace(score=one.score - less, signals=signals))
        taken[session_id] += 1
        if queue:
            heapq.heappush(best, (each * taken[session_id] - queue[0].score, -queue[0].id, session_id))
    return spread


def _count(passage: Passage, wanted: set[str]) -> _Counted:
    said: dict[str, int] = {}
    for term in passage.terms:
        if term in wanted:
            said[term] = said.get(term, 0) + 1
    marks = {term: 1 for term in passage.marks if term in wanted}
    return _Counted(said, marks, len(passage.terms))


def _bm25(
    said: Mapping[str, float], marks: Mapping[str, int], length: float, rarity: Mapping[str, float]
) -> float:
    """BM25 (Robertson and Zaragoza, 2009) without its constant factor: each term gives at most its rarity."""
    norm = _K1 * (1 - _B + _B * length / _MEAN_LENGTH)
    score = 0.0
    for term, rare in rarity.items():
        often = said.get(term, 0) + _MARK * marks.get(term, 0)
        if often:
            score += rare * often / (often + norm)
    return score


def _around(
    passage: Passage, counted: Mapping[tuple[str, int], _Counted], rarity: Mapping[str, float]
) -> float:
    """BM25 over the passage and its neighbours; a far one's words count less."""
    said: dict[str, float] = {}
    length = 0.0
    for distance, share in _AROUND.items():
        near = counted.get((passage.session_id, passage.ordinal + distance))
        if near is not None:
            if distance and near.length > _LONG:
                share *= _LONG / near.length  # noqa: PLW2901  # of this neighbour
            length += share * near.length
            for term, often in near.said.items():
                said[term] = said.get(term, 0.0) + share * often
    own = counted[passage.session_id, passage.ordinal]
    return _bm25(said, own.marks, length / sum(_AROUND.values()), rarity)


def _coverage(
    counted: Mapping[tuple[str, int], _Counted], rarity: Mapping[str, float], total: float
) -> dict[str, float]:
    """How much of the question each session holds."""
    held: dict[str, set[str]] = {}
    for (session_id, _), one in counted.items():
        held.setdefault(session_id, set()).update(one.said)
    return {session_id: sum(rarity.get(t, 0.0) for t in terms) / total for session_id, terms in held.items()}
