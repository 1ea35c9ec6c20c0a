"""From a query to passages: full text on windows, leads and units, vectors, fusion, nearness, an optional reranker.

Knows one table a domain through `index`; which domains to look in is `routing`'s, files are `ingest`'s.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent_core.knowledge import Filters, Passage
from agent_memory.fusion import Weighted, boosted, fused
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.exact import ExactVectors
from agent_memory.knowledge.filters import predicate
from agent_memory.knowledge.found import Hits
from agent_memory.knowledge.index import EXACT_BELOW, Grain, LanceTable
from agent_memory.knowledge.rows import passages
from agent_memory.knowledge.terms import nearness, query_terms, with_parts
from agent_memory.questions import ends_of


class RetrievalWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What each way of looking counts. Lexical first: dense alone finds less, and fused too heavily it takes away."""

    window: float = 1.0
    """BM25 of the passage with its headings and surroundings."""
    unit: float = 0.0
    """BM25 of the passage alone. Beside windows it added nothing to code or health questions, whole or cut to 60 words;
    more than 0 makes its index."""
    lead: float = 0.5
    """BM25 of title, heading and first words: what a passage says that it is about."""
    dense: float = 0.25
    """Cosine of the vectors."""
    near: float = 0.15
    """Words of the query that stand together."""


class Reranker(Protocol):
    """A model that looks at query and passage together, such as a cross-encoder."""

    async def rerank(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """A score a passage, in order: the larger, the better it fits."""
        ...


POOL = 100
"""So many of each ranking are fused."""
_LOOKED_AT = 24
"""So many of the best are read, for nearness and for the reranker."""
_TRIES = 3
"""So often a search is made while rows are moved from under it."""
_COUNTED = 1_000
"""Of so many predicates it is kept how many rows they let pass."""


class Shelf:
    """One domain of one tenant, ready to be searched."""

    def __init__(self, domain: Domain, table: LanceTable) -> None:
        self.domain = domain
        self.table = table
        self._exact: ExactVectors | None = None
        self._passing: tuple[int, dict[str, int]] = (-1, {})
        self._loading = asyncio.Lock()

    async def search(
        self,
        query: str,
        vector: NDArray[np.float32],
        *,
        k: int,
        filters: Filters | None,
        weights: RetrievalWeights,
    ) -> list[Passage]:
        """The passages that fit best, best first; `max(k, 24)` at most.

        Raises:
            KnowledgeError: the domain has no such field.
            KnowledgeUnavailableError: the storage failed.
        """
        where = predicate(self.domain, filters)
        query = ends_of(query)
        words = with_parts(query)
        tries = 0
        while True:
            sums = await self._ranked(words, vector, where, max(POOL, k), weights)
            best = list(sums)[: max(k, _LOOKED_AT)]
            rows = await self.table.rows(best)
            tries += 1
            if len(rows) == len(best) or tries == _TRIES:
                break
        terms = query_terms(query)
        near = {place: nearness(terms, f"{row.card.heading} {row.text}") for place, row in rows.items()}
        return passages(rows, boosted(sums, near, weights.near), self.domain.name)

    async def _ranked(
        self,
        words: str,
        vector: NDArray[np.float32],
        where: str,
        pool: int,
        weights: RetrievalWeights,
    ) -> dict[int, float]:
        """Places of rows with what all ways of looking say of them, best first."""
        found = await asyncio.gather(
            self._full_text("window", words, where, pool, weights.window),
            self._full_text("text", words, where, pool, weights.unit),
            self._full_text("lead", words, where, pool, weights.lead),
            self._nearest(vector, where, pool, weights.dense),
        )
        counted = (weights.window, weights.unit, weights.lead, weights.dense)
        return fused(
            [
                Weighted(hits, weight, is_cut=len(hits) >= pool)
                for hits, weight in zip(found, counted, strict=True)
            ]
        )

    async def _full_text(self, grain: Grain, words: str, where: str, pool: int, weight: float) -> Hits:
        if not weight or not words.strip():
            return []
        return await self.table.full_text(grain, words, where, pool)

    async def _nearest(self, vector: NDArray[np.float32], where: str, pool: int, weight: float) -> Hits:
        return await self.nearest(vector, where, pool) if weight and vector.any() else []

    async def nearest(self, vector: NDArray[np.float32], where: str, count: int) -> Hits:
        """The places of the rows nearest to a vector: compared one by one while they are few, then by an index."""
        version = await self.table.version()
        rows = await self._count("", version)
        if rows >= EXACT_BELOW:
            self._exact = None
            return await self.table.nearest(vector, where, count, rows, await self._count(where, version))
        exact = await self._vectors(version)
        among = await self.table.places(where) if where else None
        return exact.nearest(vector, count, among)

    async def _count(self, where: str, version: int) -> int:
        """How many rows of a version a predicate lets pass."""
        if self._passing[0] != version or len(self._passing[1]) > _COUNTED:
            self._passing = version, {}
        known = self._passing[1]
        if where not in known:
            known[where] = await self.table.count(where)
        return known[where]

    async def _vectors(self, version: int) -> ExactVectors:
        async with self._loading:
            if self._exact is None or self._exact.version != version:
                self._exact = ExactVectors(*await self.table.vectors(), version)
            return self._exact


async def reranked(reranker: Reranker, query: str, found: Sequence[Passage]) -> list[Passage]:
    """The passages in the order of a reranker, with its scores."""
    scores = await reranker.rerank(query, found)
    scored = [msgspec.structs.replace(one, score=score) for one, score in zip(found, scores, strict=True)]
    return sorted(scored, key=lambda passage: -passage.score)
