"""A knowledge base in memory: it counts common words."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from agent_core.errors import KnowledgeError
from agent_core.knowledge import Between, Citation, Filters, MetadataValue, Passage

DOMAIN = "general"


class InMemoryKnowledgeBase:
    """Every source is one passage; `searched` records the queries."""

    def __init__(self) -> None:
        self._passages: list[Passage] = []
        self.searched: list[str] = []
        self.closed: int = 0

    def add(self, source: str, text: str, metadata: Mapping[str, MetadataValue] | None = None) -> None:
        """Put a source in."""
        citation = Citation(source=source, start=0, end=len(text))
        passage = Passage(text=text, score=0.0, citation=citation, domain=DOMAIN, metadata=metadata or {})
        self._passages.append(passage)

    async def search(
        self, query: str, *, k: int = 10, filters: Filters | None = None, domains: Sequence[str] = ()
    ) -> Sequence[Passage]:
        """The passages that share words with the query, those that share most first.

        Raises:
            KnowledgeError: a domain that is not `general`, or a field that no source has.
        """
        self.searched.append(query)
        if set(domains) - {DOMAIN}:
            raise KnowledgeError(f"no domain {domains[0]!r}; there is {DOMAIN!r}")
        fields = {field for passage in self._passages for field in passage.metadata}
        for field in filters or {}:
            if field not in fields and self._passages:
                raise KnowledgeError(f"no source has the field {field!r}; there are {sorted(fields)}")
        wanted = Counter(_words(query))
        scored = [
            Passage(
                text=one.text,
                score=float(sum((wanted & Counter(_words(one.text))).values())),
                citation=one.citation,
                domain=one.domain,
                metadata=one.metadata,
            )
            for one in self._passages
            if all(_fits(one.metadata.get(field), wish) for field, wish in (filters or {}).items())
        ]
        return sorted((one for one in scored if one.score), key=lambda one: -one.score)[:k]

    async def aclose(self) -> None:
        """Holds nothing; `closed` counts the calls."""
        self.closed += 1


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _fits(value: MetadataValue | None, wish: MetadataValue | Sequence[MetadataValue] | Between) -> bool:
    if value is None:
        return False
    if isinstance(wish, Between):
        return _is_at_least(value, wish.at_least) and _is_at_least(wish.at_most, value)
    return value == wish if isinstance(wish, str | int | float) else value in wish


def _is_at_least(value: MetadataValue | None, least: MetadataValue | None) -> bool:
    """Whether the one is no less than the other; where one of them is not given, nothing is wrong."""
    if value is None or least is None:
        return True
    if isinstance(value, str) or isinstance(least, str):
        return str(value) >= str(least)
    return value >= least
