"""Which of thousands of tools fit a request: by the words of their schemas, by meaning, and by what they were used for.

All in memory. A request shares few words with a schema, so meaning counts more here than it does among episodes; and
most of all count requests that the tool has served before.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent_core.embeddings import Embeddings
from agent_core.tools import ToolSpec
from agent_memory.long_term.analysis import Analyzer

Scores: TypeAlias = NDArray[np.float32]

_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NAME, _DESCRIPTION, _PARAMETERS = 3.0, 2.0, 1.0
"""How often a word of each counts."""
_K1, _B = 1.2, 0.6
_WORDS_WEIGHT, _MEANING_WEIGHT, _USED_WEIGHT = 1.0, 1.2, 1.0
_EXAMPLES_AT_MOST = 64
"""Of one tool; the newest."""


_NOWHERE = np.zeros(0, np.int64), np.zeros(0, np.float32)


class ToolHit(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that fits a request."""

    name: str
    score: float
    signals: Mapping[str, float]
    """What it is made of: `words`, `meaning`, `used`."""


def described(spec: ToolSpec) -> str:
    """A tool in words, for an embedder."""
    names = " ".join(_parameters(spec))
    return f"{' '.join(_PIECES.findall(spec.name))}. {spec.description} {names}".strip()


class _Used(NamedTuple):
    """A request that a tool served."""

    place: int
    terms: frozenset[str]
    vector: Scores


class _Lookup(NamedTuple):
    """All requests that were served, as arrays: a row a request."""

    places: NDArray[np.int64]
    roots: Scores
    """The square root of how many terms each has."""
    rows_of: Mapping[str, NDArray[np.int64]]
    vectors: Scores


class ToolIndex:
    """Tools and the requests that they served. Not for several threads at once."""

    def __init__(self, analyzer: Analyzer, dimensions: int) -> None:
        """`dimensions`: of the embedder; 0: there is none."""
        self._analyzer = analyzer
        self._dimensions = dimensions
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._postings: dict[str, dict[int, float]] = {}
        self._lengths: list[float] = []
        self._vectors: Scores = np.zeros((0, dimensions), np.float32)
        self._used: list[_Used] = []
        self._lookup: _Lookup | None = None
        """Made of `_used` when it is next needed."""
        self._norms: Scores | None = None
        """BM25's share of each tool's length, made when it is next needed; so are the arrays of a term."""
        self._arrays: dict[str, tuple[NDArray[np.int64], Scores]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, specs: Sequence[ToolSpec], embedded: Embeddings | None) -> None:
        """Add tools; one of a name that is there replaces it. `embedded`: of `described(spec)`, in order."""
        vectors = self._matrix(embedded, len(specs))
        self._forget_arrays()
        fresh: list[int] = []
        for row, spec in enumerate(specs):
            place = self._place.get(spec.name)
            if place is None:
                place = self._place[spec.name] = len(self._names)
                self._names.append(spec.name)
                self._lengths.append(0.0)
                fresh.append(row)
            else:
                for posting in self._postings.values():
                    posting.pop(place, None)
                self._vectors[place] = vectors[row]
            self._index(place, spec)
        self._vectors = np.concatenate((self._vectors, vectors[fresh]))

    def add_used(self, name: str, request: str, embedded: Embeddings | None) -> None:
        """A request that the tool served well."""
        place = self._place.get(name)
        if place is None:
            return
        mine = (
            [used for used in self._used if used.place == place]
            if len(self._used) >= _EXAMPLES_AT_MOST
            else []
        )
        if len(mine) >= _EXAMPLES_AT_MOST:
            self._used.remove(mine[0])
        self._used.append(
            _Used(place, frozenset(self._analyzer.terms(request)), self._matrix(embedded, 1)[0])
        )
        self._lookup = None

    def remove(self, name: str) -> None:
        """Forget a tool and what it served; its place stays empty until the index is built anew."""
        place = self._place.pop(name, None)
        if place is None:
            return
        self._forget_arrays()
        for posting in self._postings.values():
            posting.pop(place, None)
        self._names[place] = ""
        self._vectors[place] = 0
        self._used = [used for used in self._used if used.place != place]
        self._lookup = None

    def search(self, request: str, embedded: Embeddings | None, k: int) -> list[ToolHit]:
        """The tools that fit best, best first."""
        if not self._names:
            return []
        terms = list(dict.fromkeys(self._analyzer.terms(request)))
        query = self._matrix(embedded, 1)[0]
        words = self._words(terms)
        meaning = np.clip(_cosines(self._vectors, query), 0, 1)
        used = self._used_scores(frozenset(terms), query)
        total = _WORDS_WEIGHT * words + _MEANING_WEIGHT * _stretched(meaning) + _USED_WEIGHT * used
        best: list[int] = np.argsort(-total, kind="stable")[
            : k + len(self._names) - len(self._place)
        ].tolist()
        return [
            ToolHit(
                name=self._names[place],
                score=float(total[place]),
                signals={
                    "words": float(words[place]),
                    "meaning": float(meaning[place]),
                    "used": float(used[place]),
                },
            )
            for place in best
            if self._names[place] and total[place] > 0
        ][:k]

    def _index(self, place: int, spec: ToolSpec) -> None:
        counts: dict[str, float] = {}
        examples = " ".join(example.utterance for example in spec.examples)
        for text, weight in (
            (" ".join(_PIECES.findall(spec.name)), _NAME),
            (spec.description, _DESCRIPTION),
            (" ".join((*_parameters(spec), examples)), _PARAMETERS),
        ):
            for term in self._analyzer.terms(text):
                counts[term] = counts.get(term, 0.0) + weight
        self._lengths[place] = sum(counts.values())
        for term, count in counts.items():
            self._postings.setdefault(term, {})[place] = count

    def _words(self, terms: Sequence[str]) -> Scores:
        """BM25, as a share of the best possible."""
        scores = np.zeros(len(self._names), np.float32)
        if self._norms is None:
            mean = sum(self._lengths) / len(self._lengths) or 1.0
            self._norms = _K1 * (1 - _B + _B / mean * np.asarray(self._lengths, np.float32))
        for term in terms:
            places, counts = self._posting(term)
            if len(places):
                rare = math.log(1 + (len(self._place) - len(places) + 0.5) / (len(places) + 0.5))
                scores[places] += rare * counts / (counts + self._norms[places])
        return _stretched(scores)

    def _posting(self, term: str) -> tuple[NDArray[np.int64], Scores]:
        """The places of the tools with a term, and how often each has it."""
        found = self._arrays.get(term)
        if found is None:
            posting = self._postings.get(term, {})
            if not posting:  # not kept: requests are made of any words
                return _NOWHERE
            found = self._arrays[term] = (
                np.fromiter(posting.keys(), np.int64),
                np.fromiter(posting.values(), np.float32),
            )
        return found

    def _forget_arrays(self) -> None:
        self._norms = None
        self._arrays = {}

    def _used_scores(self, terms: frozenset[str], query: Scores) -> Scores:
        """For each tool, how like the likest request is that it served: by words or by meaning."""
        scores = np.zeros(len(self._names), np.float32)
        if not self._used:
            return scores
        if self._lookup is None:
            self._lookup = _lookup(self._used)
        places, roots, rows_of, vectors = self._lookup
        shared = np.zeros(len(places), np.float32)
        for term in terms & rows_of.keys():
            shared[rows_of[term]] += 1
        shared /= roots * (math.sqrt(len(terms)) or 1.0)
        alike = _cosines(vectors, query)
        np.maximum.at(scores, places, np.maximum(shared, alike))
        return scores

    def _matrix(self, embedded: Embeddings | None, rows: int) -> Scores:
        if embedded is None or not self._dimensions:
            return np.zeros((rows, self._dimensions), np.float32)
        return np.frombuffer(embedded.vectors, "<f4").reshape(rows, self._dimensions).astype(np.float32)


def _lookup(used: Sequence[_Used]) -> _Lookup:
    rows_of: dict[str, list[int]] = {}
    for row, one in enumerate(used):
        for term in one.terms:
            rows_of.setdefault(term, []).append(row)
    return _Lookup(
        np.asarray([one.place for one in used]),
        np.sqrt(np.asarray([max(1, len(one.terms)) for one in used], np.float32)),
        {term: np.asarray(rows) for term, rows in rows_of.items()},
        np.stack([one.vector for one in used]),
    )


def _cosines(vectors: Scores, query: Scores) -> Scores:
    """In this thread: so small a product waits longer for BLAS's threads than it takes, when the machine is busy."""
    cosines: Scores = np.einsum("ij,j->i", vectors, query)
    return cosines


def _stretched(scores: Scores) -> Scores:
    """The scores, the best of them 1."""
    best = scores.max(initial=0.0)
    return scores / best if best > 0 else scores


def _parameters(spec: ToolSpec) -> list[str]:
    """The names and descriptions of the arguments, at the first level."""
    properties = spec.parameters.get("properties")
    if not isinstance(properties, dict):
        return []
    texts: list[str] = []
    for name, schema in cast("Mapping[str, object]", properties).items():
        texts.append(" ".join(_PIECES.findall(name)))
        if isinstance(schema, dict):
            text = cast("Mapping[str, object]", schema).get("description")
            texts += [text] if isinstance(text, str) else []
    return texts
