"""Every promise of a small port can be broken, and its suite notices: one broken adapter a promise."""

import math
import struct
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.embeddings import Embeddings
from agent_core.knowledge import Citation
from agent_core.reflexion import Finding, Judgement
from agent_core.testing import (
    HashEmbedder,
    InMemoryKnowledgeBase,
    RecordingObserver,
    ScriptedCritic,
    SequentialIds,
    VirtualClock,
)
from agent_core.testing.conformance import critic as critic_suite
from agent_core.testing.conformance.clock import ClockConformance
from agent_core.testing.conformance.critic import CriticConformance
from agent_core.testing.conformance.embedder import EmbedderConformance
from agent_core.testing.conformance.ids import IdsConformance
from agent_core.testing.conformance.knowledge_base import KnowledgeBaseConformance
from agent_core.testing.conformance.observer import ObserverConformance

# ── clock ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Milliseconds(VirtualClock):
    def now(self):
        return super().now() * 1_000


class GoesBack(VirtualClock):
    def now(self):
        self.advance(-1)
        return super().now()


class StandsStill(VirtualClock):
    async def sleep(self, seconds):
        await anyio.lowlevel.checkpoint()


class HoldsUpAll(VirtualClock):
    async def sleep(self, seconds):
        self.advance(seconds)


class ShieldedSleep(VirtualClock):
    async def sleep(self, seconds):
        await anyio.lowlevel.cancel_shielded_checkpoint()
        self.advance(seconds)


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class NoPrefix(SequentialIds):
    def new(self, prefix):
        return super().new("id")


class WithSpaces(SequentialIds):
    def new(self, prefix):
        return f"{prefix}_no {self._count}"


class Twice(SequentialIds):
    def new(self, prefix):
        return f"{prefix}_{int(super().new('').strip('_')) // 2}"


class Downwards(SequentialIds):
    def new(self, prefix):
        return f"{prefix}_{9_999 - int(super().new('').strip('_'))}"


# ── observer ─────────────────────────────────────────────────────────────────────────────────────────────────────


class KnowsTextAlone(RecordingObserver):
    def on_delta(self, run_id, delta):
        super().on_delta(run_id, delta.text)


class KnowsNoFailure(RecordingObserver):
    def on_event(self, stored, state):
        assert not isinstance(stored.event, ev.RunFailed)
        super().on_event(stored, state)


class OneRunAtATime(RecordingObserver):
    def on_event(self, stored, state):
        assert not self.events or self.events[-1][0].run_id == stored.run_id
        super().on_event(stored, state)


class WantsTheBeginning(RecordingObserver):
    def on_event(self, stored, state):
        assert self.events or stored.seq == 1
        super().on_event(stored, state)


class WantsTheEnd(RecordingObserver):
    def close(self):
        assert not self.events or self.events[-1][1].is_over


# ── critic ───────────────────────────────────────────────────────────────────────────────────────────────────────


def judging(**said):
    return lambda: ScriptedCritic([Judgement(**said)])


class NoAnswers(ScriptedCritic):
    async def check(self, state):
        raise LookupError(state.answer)


class OneAtATime(ScriptedCritic):
    async def judge(self, state):
        assert len(self.judged) % 2 == 0
        self.judged.append(state)
        await anyio.lowlevel.checkpoint()
        self.judged.append(state)
        return Judgement()


class WillNotStop(ScriptedCritic):
    async def judge(self, state):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.3)  # longer than it may take, below
        return Judgement()


# ── embedder ─────────────────────────────────────────────────────────────────────────────────────────────────────


def vectors_of(found):
    return [list(found[index]) for index in range(len(found))]


def packed(vectors, dimensions):
    return Embeddings(
        vectors=b"".join(struct.pack(f"<{dimensions}f", *vector) for vector in vectors), dimensions=dimensions
    )


class Changed(HashEmbedder):
    """Changes the vectors of a batch."""

    def change(self, texts, vectors):
        return vectors

    async def embed(self, texts, *, purpose="document"):
        found = await super().embed(texts, purpose=purpose)
        return packed(self.change(list(texts), vectors_of(found)), self.dimensions)


class Nameless(HashEmbedder):
    name = "hash"


class TooLong(Changed):
    def change(self, texts, vectors):
        return [[2 * number for number in vector] for vector in vectors]


class Sorted(Changed):
    def change(self, texts, vectors):
        return [vector for _, vector in sorted(zip(texts, vectors, strict=True))]


class ByTheBatch(Changed):
    def change(self, texts, vectors):
        shift = len(texts) % self.dimensions
        return [vector[shift:] + vector[:shift] for vector in vectors]


class OneMore(Changed):
    def change(self, texts, vectors):
        return vectors or [[0.0] * self.dimensions]


class NothingForNothing(Changed):
    def change(self, texts, vectors):
        return [vector for text, vector in zip(texts, vectors, strict=True) if text]


class NotNumbers(Changed):
    def change(self, texts, vectors):
        return [
            vector if text else [math.nan] * self.dimensions
            for text, vector in zip(texts, vectors, strict=True)
        ]


class OneBatch(Changed):
    def change(self, texts, vectors):
        return vectors[:256] + vectors[: max(0, len(vectors) - 256)]


class Shared(HashEmbedder):
    async def embed(self, texts, *, purpose="document"):
        self.last = texts
        await anyio.lowlevel.checkpoint()
        return await super().embed(self.last, purpose=purpose)


class ClosesOnce(HashEmbedder):
    async def aclose(self):
        await super().aclose()
        assert self.closed == 1


# ── knowledge base ───────────────────────────────────────────────────────────────────────────────────────────────


class Base(InMemoryKnowledgeBase):
    """Changes what is found, or what is asked."""

    def change(self, found):
        return found

    async def search(self, query, *, k=10, filters=None, domains=()):
        return self.change(await super().search(query, k=k, filters=filters, domains=domains))


class WorstFirst(Base):
    def change(self, found):
        return found[::-1]


class TakesNoNotice(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        return await super().search("ice in summer", k=k, filters=filters, domains=domains)


class Paraphrases(Base):
    def change(self, found):
        return [replace(one, text=one.text.upper()) for one in found]


class FindsTooMuch(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        return await super().search(query, k=k + 1, filters=filters, domains=domains)


class WithoutMetadata(Base):
    def change(self, found):
        return [replace(one, metadata={}) for one in found]


class WithoutFilters(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        return await super().search(query, k=k, domains=domains)


class Everywhere(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        known = {key: value for key, value in (filters or {}).items() if key in {"year", "kind"}}
        return await super().search(query, k=k, filters=known)


class NeedsWords(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        assert query.strip()
        return await super().search(query, k=k, filters=filters, domains=domains)


class NeverEmpty(Base):
    def change(self, found):
        assert self._passages
        return found


class Learns(Base):
    async def search(self, query, *, k=10, filters=None, domains=()):
        found = await super().search(query, k=k, filters=filters, domains=domains)
        self._passages = [replace(one, citation=Citation(source="again")) for one in self._passages]
        return found


class BaseClosesOnce(Base):
    async def aclose(self):
        await super().aclose()
        assert self.closed == 1


def opening(make):
    @asynccontextmanager
    async def opened(self):
        adapter = make()
        yield adapter
        if hasattr(adapter, "close"):
            adapter.close()

    return opened


def filling(make):
    @asynccontextmanager
    async def opened(self, sources):
        base = make()
        for source in sources:
            base.add(source.name, source.text, source.metadata)
        yield base

    return opened


def checked(self, observer, steps):
    assert observer.events == list(steps)


SUITES = {
    ClockConformance: lambda make: {"clock": lambda self: make()},
    IdsConformance: lambda make: {"ids": lambda self: make()},
    ObserverConformance: lambda make: {"observer": opening(make), "check": checked},
    CriticConformance: lambda make: {"critic": opening(make)},
    EmbedderConformance: lambda make: {"embedder": opening(make), "too_long": "word " * 9},
    KnowledgeBaseConformance: lambda make: {"knowledge_base": filling(make), "domain": "general"},
}
BROKEN = [
    (ClockConformance, "the_time_is_in_seconds_since_the_epoch", Milliseconds),
    (ClockConformance, "time_does_not_go_back", GoesBack),
    (ClockConformance, "time_passes_while_one_sleeps", StandsStill),
    (ClockConformance, "others_work_while_one_sleeps", HoldsUpAll),
    (ClockConformance, "a_sleep_can_be_cancelled", ShieldedSleep),
    (IdsConformance, "an_id_begins_with_its_prefix", NoPrefix),
    (IdsConformance, "an_id_is_a_plain_word", WithSpaces),
    (IdsConformance, "no_id_comes_twice", Twice),
    (IdsConformance, "ids_sort_by_time", Downwards),
    (ObserverConformance, "a_whole_run_is_taken", KnowsTextAlone),
    (ObserverConformance, "every_end_is_taken", KnowsNoFailure),
    (ObserverConformance, "runs_that_are_told_in_turns_are_kept_apart", OneRunAtATime),
    (ObserverConformance, "a_run_is_taken_up_in_the_middle", WantsTheBeginning),
    (ObserverConformance, "a_run_that_is_never_finished_does_no_harm", WantsTheEnd),
    (CriticConformance, "a_judgement_of_results_can_be_acted_on", judging(finding=Finding.RETRY)),
    (CriticConformance, "a_judgement_of_results_can_be_acted_on", judging(tool_call_ids=("c9",))),
    (CriticConformance, "a_judgement_of_an_answer_can_be_acted_on", NoAnswers),
    (CriticConformance, "two_runs_are_judged_at_once", OneAtATime),
    (CriticConformance, "a_judgement_that_is_cancelled_ends_at_once", WillNotStop),
    (EmbedderConformance, "a_name_and_the_dimensions_are_known_without_asking", Nameless),
    (EmbedderConformance, "every_text_has_a_vector_of_length_one", TooLong),
    (EmbedderConformance, "vectors_come_in_the_order_of_the_texts", Sorted),
    (EmbedderConformance, "a_vector_depends_on_its_text_alone", ByTheBatch),
    (EmbedderConformance, "no_texts_have_no_vectors", OneMore),
    (EmbedderConformance, "an_empty_text_has_a_vector", NothingForNothing),
    (EmbedderConformance, "an_empty_text_has_a_vector", NotNumbers),
    (EmbedderConformance, "many_texts_are_embedded_at_once", OneBatch),
    (EmbedderConformance, "two_callers_at_once", Shared),
    (EmbedderConformance, "a_text_that_is_too_long_is_refused", HashEmbedder),
    (EmbedderConformance, "closing_twice_does_no_harm", ClosesOnce),
    (KnowledgeBaseConformance, "the_source_that_has_the_word_comes_first", TakesNoNotice),
    (KnowledgeBaseConformance, "passages_are_quoted_exactly", Paraphrases),
    (KnowledgeBaseConformance, "the_best_come_first_and_no_more_than_asked_for", WorstFirst),
    (KnowledgeBaseConformance, "the_best_come_first_and_no_more_than_asked_for", FindsTooMuch),
    (KnowledgeBaseConformance, "metadata_comes_with_a_passage", WithoutMetadata),
    (KnowledgeBaseConformance, "filters_let_pass_what_fits_them", WithoutFilters),
    (KnowledgeBaseConformance, "what_is_not_known_is_refused", Everywhere),
    (KnowledgeBaseConformance, "any_query_is_answered", NeedsWords),
    (KnowledgeBaseConformance, "an_empty_knowledge_base_finds_nothing", NeverEmpty),
    (KnowledgeBaseConformance, "searching_changes_nothing", Learns),
    (KnowledgeBaseConformance, "closing_twice_does_no_harm", BaseClosesOnce),
]


def promises(suite):
    return {name for name in dir(suite) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("suite", "promise", "make"), BROKEN, ids=[f"{suite.__name__}-{promise}" for suite, promise, _ in BROKEN]
)
async def test_a_broken_promise_is_noticed(suite, promise, make, keeps, monkeypatch):
    monkeypatch.setattr(critic_suite, "STOPS_WITHIN_S", 0.1)
    assert not await keeps(suite, promise, SUITES[suite](make))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_promise_is_broken_here(suite):
    assert promises(suite) == {f"test_{promise}" for one, promise, _ in BROKEN if one is suite}
