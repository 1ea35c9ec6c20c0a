"""The promises of the `KnowledgeBase` port. Subclass `KnowledgeBaseConformance` and say how to open yours.

    class TestMyKnowledgeBase(KnowledgeBaseConformance):
        @asynccontextmanager
        async def knowledge_base(self, sources):
            base = MyKnowledgeBase(...)
            for source in sources:
                await base.add(source.name, source.text, source.metadata)  # in whatever way yours takes them
            yield base

        domain = "general"  # where the sources are; None where there is but one

How well it finds is for benchmarks to say: here every query holds a word that stands in one source alone. Needs pytest
with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
import msgspec

from agent_core.errors import KnowledgeError
from agent_core.knowledge import Between, Filters, MetadataValue, Passage
from agent_core.ports import KnowledgeBase
from agent_core.testing.conformance.expect import raises

PATIENCE_S = 60.0


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A plain text to be searched."""

    name: str
    text: str
    metadata: Mapping[str, MetadataValue]


SOURCES = tuple(
    Source(name=f"{word}.txt", text=text, metadata={"year": year, "kind": kind})
    for word, year, kind, text in (
        ("harbour", 1999, "report", "The harbour freezes in a cold winter. Ships wait for the ice to break."),
        ("violin", 2005, "essay", "A violin has four strings, and a bow of horse hair."),
        ("glacier", 2012, "report", "The glacier lost nine metres of ice in one summer."),
        ("pension", 2019, "letter", "Your pension rises by two percent next year."),
        ("orchard", 2021, "essay", "In the orchard the apple trees bloom late. Zażółć 日本語 🙂."),
    )
)
BY_NAME = {source.name: source for source in SOURCES}


def names(found: Sequence[Passage]) -> list[str]:
    """The sources of the passages, each once."""
    return list(dict.fromkeys(passage.citation.source for passage in found))


class KnowledgeBaseConformance:
    """Each test opens a knowledge base of its own, through `knowledge_base`."""

    domain: str | None = None
    """The domain that the sources are in; None: there are no domains."""

    @abstractmethod
    def knowledge_base(self, sources: Sequence[Source]) -> AbstractAsyncContextManager[KnowledgeBase]:
        """A knowledge base that holds these sources, and nothing else."""

    async def search(
        self, base: KnowledgeBase, query: str, *, k: int = 10, filters: Filters | None = None
    ) -> Sequence[Passage]:
        """What is found, in the domain of the sources."""
        domains = () if self.domain is None else (self.domain,)
        with anyio.fail_after(PATIENCE_S):
            return await base.search(query, k=k, filters=filters, domains=domains)

    async def test_the_source_that_has_the_word_comes_first(self) -> None:
        """For each of them."""
        async with self.knowledge_base(SOURCES) as base:
            for word in ("harbour", "violin", "glacier", "pension", "orchard"):
                assert names(await self.search(base, word))[0] == f"{word}.txt"

    async def test_passages_are_quoted_exactly(self) -> None:
        """The text is what stands in the source, from `start` to `end`."""
        async with self.knowledge_base(SOURCES) as base:
            for word in ("harbour", "orchard"):
                passage = (await self.search(base, word))[0]
                cited = passage.citation
                assert 0 <= cited.start < cited.end
                assert passage.text == BY_NAME[cited.source].text[cited.start : cited.end]

    async def test_the_best_come_first_and_no_more_than_asked_for(self) -> None:
        """Scores never rise; no passage comes twice."""
        async with self.knowledge_base(SOURCES) as base:
            for k in (1, 2, 10):
                found = await self.search(base, "ice in winter and summer", k=k)
                scores = [passage.score for passage in found]
                places = [(passage.citation.source, passage.citation.start) for passage in found]
                assert len(found) <= k
                assert scores == sorted(scores, reverse=True)
                assert len(set(places)) == len(places)

    async def test_metadata_comes_with_a_passage(self) -> None:
        """As it was given."""
        async with self.knowledge_base(SOURCES) as base:
            for passage in await self.search(base, "harbour violin glacier"):
                given = BY_NAME[passage.citation.source].metadata
                assert {key: passage.metadata[key] for key in given} == given

    async def test_filters_let_pass_what_fits_them(self) -> None:
        """A value, one of several, a range with both its ends, and all of them together."""
        cases: tuple[tuple[Filters, set[str]], ...] = (
            ({"kind": "essay"}, {"violin.txt", "orchard.txt"}),
            ({"kind": ("essay", "letter")}, {"violin.txt", "orchard.txt", "pension.txt"}),
            ({"year": Between(at_least=2005, at_most=2019)}, {"violin.txt", "glacier.txt", "pension.txt"}),
            ({"year": Between(at_least=2012)}, {"glacier.txt", "pension.txt", "orchard.txt"}),
            ({"year": Between(at_most=2012), "kind": "report"}, {"harbour.txt", "glacier.txt"}),
            ({"kind": "report", "year": 2021}, set()),
        )
        query = "harbour violin glacier pension orchard"
        async with self.knowledge_base(SOURCES) as base:
            for filters, expected in cases:
                assert set(names(await self.search(base, query, filters=filters))) == expected

    async def test_what_is_not_known_is_refused(self) -> None:
        """A domain, and a field to filter by: an empty answer would be mistaken for the truth."""
        async with self.knowledge_base(SOURCES) as base:
            with raises(KnowledgeError):
                await base.search("harbour", domains=["no_such_domain"])
            with raises(KnowledgeError):
                await self.search(base, "harbour", filters={"no_such_field": 1})

    async def test_any_query_is_answered(self) -> None:
        """Nothing at all, odd signs, a very long one: perhaps with nothing, never with an error."""
        async with self.knowledge_base(SOURCES) as base:
            for query in ("", " ", "\N{SNOWMAN} \u0000 \" ' * AND OR ( -- {} %", "word " * 5_000):
                assert len(await self.search(base, query, k=3)) <= 3

    async def test_an_empty_knowledge_base_finds_nothing(self) -> None:
        """And says so without an error."""
        async with self.knowledge_base(()) as base:
            with anyio.fail_after(PATIENCE_S):
                assert list(await base.search("harbour")) == []

    async def test_searching_changes_nothing(self) -> None:
        """The same question, the same answer; many at once."""
        found: list[list[str]] = []

        async def one(base: KnowledgeBase) -> None:
            found.append(names(await self.search(base, "the glacier lost ice")))

        async with self.knowledge_base(SOURCES) as base:
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(one, base)
            await one(base)
        assert all(one == found[0] for one in found)

    async def test_closing_twice_does_no_harm(self) -> None:
        """Whether it was used or not."""
        async with self.knowledge_base(SOURCES) as base:
            await self.search(base, "harbour")
            await base.aclose()
            await base.aclose()
