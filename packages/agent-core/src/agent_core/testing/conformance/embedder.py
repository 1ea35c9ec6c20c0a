"""The promises of the `Embedder` port. Subclass `EmbedderConformance` and say how to open yours.

    class TestMyEmbedder(EmbedderConformance):
        def embedder(self):
            return MyEmbedder.open(...)  # an async context manager

How good the vectors are is for benchmarks to say. Needs pytest with anyio's plugin in the mode `auto`.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import anyio

from agent_core.embeddings import Embeddings, Purpose
from agent_core.errors import ModelRefusedError
from agent_core.ports import Embedder
from agent_core.testing.conformance.expect import raises

PATIENCE_S = 120.0
TEXTS = (
    "The cat sat on the mat.",
    "Interest rates rose by a quarter of a percent.",
    "Zażółć gęślą jaźń 日本語 🙂",
    "def add(a, b): return a + b",
    "\u0000 \u2028 \t % {} ' \"",
)
PURPOSES: tuple[Purpose, ...] = ("document", "query")
ONE = 1e-3
"""How far a length may be from 1."""
SAME = 0.999
"""The least likeness (cosine) of two vectors of one text: engines that batch do not count the same way twice."""


def rows(found: Embeddings) -> list[list[float]]:
    """Each vector as numbers."""
    return [list(found[index]) for index in range(len(found))]


def likeness(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of two vectors of length 1."""
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


async def embedded(
    embedder: Embedder, texts: Sequence[str], purpose: Purpose = "document"
) -> list[list[float]]:
    """The vectors of the texts: as many, of the dimensions that were promised."""
    with anyio.fail_after(PATIENCE_S):
        found = await embedder.embed(texts, purpose=purpose)
    assert found.dimensions == embedder.dimensions
    assert len(found.vectors) == 4 * embedder.dimensions * len(texts)
    return rows(found)


class EmbedderConformance:
    """Each test opens an embedder of its own, through `embedder`."""

    too_long: str | None = None
    """A text of more tokens than the model reads, where it refuses such a text; None: it takes any length."""

    @abstractmethod
    def embedder(self) -> AbstractAsyncContextManager[Embedder]:
        """An embedder, closed at the end of the block."""

    async def test_a_name_and_the_dimensions_are_known_without_asking(self) -> None:
        """The name is recorded beside vectors, as `provider:name`."""
        async with self.embedder() as embedder:
            provider, colon, name = embedder.name.partition(":")
            assert provider
            assert colon
            assert name
            assert embedder.dimensions > 0

    async def test_every_text_has_a_vector_of_length_one(self) -> None:
        """Of numbers, for either purpose."""
        async with self.embedder() as embedder:
            for purpose in PURPOSES:
                for vector in await embedded(embedder, TEXTS, purpose):
                    assert all(map(math.isfinite, vector))
                    assert abs(math.hypot(*vector) - 1) < ONE

    async def test_vectors_come_in_the_order_of_the_texts(self) -> None:
        """And each text has its own."""
        async with self.embedder() as embedder:
            forth = await embedded(embedder, TEXTS)
            back = await embedded(embedder, TEXTS[::-1])
        assert all(likeness(a, b) > SAME for a, b in zip(forth, back[::-1], strict=True))
        assert likeness(forth[0], forth[1]) < SAME

    async def test_a_vector_depends_on_its_text_alone(self) -> None:
        """Not on what else is in the batch, nor on how often it was asked for."""
        async with self.embedder() as embedder:
            together = await embedded(embedder, TEXTS)
            for text, vector in zip(TEXTS, together, strict=True):
                (alone,) = await embedded(embedder, [text])
                assert likeness(alone, vector) > SAME

    async def test_no_texts_have_no_vectors(self) -> None:
        """Nothing is asked for, nothing comes."""
        async with self.embedder() as embedder:
            assert await embedded(embedder, []) == []

    async def test_an_empty_text_has_a_vector(self) -> None:
        """Of length 1 or 0, and its neighbours have theirs."""
        async with self.embedder() as embedder:
            first, empty, last = await embedded(embedder, [TEXTS[0], "", TEXTS[1]])
        length = math.hypot(*empty)
        assert length == 0 or abs(length - 1) < ONE
        assert all(abs(math.hypot(*vector) - 1) < ONE for vector in (first, last))

    async def test_many_texts_are_embedded_at_once(self) -> None:
        """More than a batch of any engine."""
        texts = [f"{TEXTS[number % 2]} {number}" for number in range(300)]
        async with self.embedder() as embedder:
            vectors = await embedded(embedder, texts)
            (one,) = await embedded(embedder, [texts[257]])
        assert likeness(one, vectors[257]) > SAME

    async def test_two_callers_at_once(self) -> None:
        """Each gets the vectors of its own texts."""
        found: dict[str, list[float]] = {}

        async def one(embedder: Embedder, text: str) -> None:
            (found[text],) = await embedded(embedder, [text])

        async with self.embedder() as embedder:
            async with anyio.create_task_group() as tasks:
                for text in TEXTS:
                    tasks.start_soon(one, embedder, text)
            alone = await embedded(embedder, TEXTS)
        assert all(likeness(found[text], vector) > SAME for text, vector in zip(TEXTS, alone, strict=True))

    async def test_a_text_that_is_too_long_is_refused(self) -> None:
        """And nothing is cut off silently; the embedder takes the next."""
        if self.too_long is None:
            return
        async with self.embedder() as embedder:
            with raises(ModelRefusedError), anyio.fail_after(PATIENCE_S):
                await embedder.embed([self.too_long])
            await embedded(embedder, TEXTS[:1])

    async def test_closing_twice_does_no_harm(self) -> None:
        """Whether it was used or not."""
        async with self.embedder() as embedder:
            await embedder.aclose()
            await embedder.aclose()
        async with self.embedder() as embedder:
            await embedded(embedder, TEXTS[:1])
            await embedder.aclose()
            await embedder.aclose()
