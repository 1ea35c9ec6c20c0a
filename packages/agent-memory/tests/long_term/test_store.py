import asyncio
import math
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_core.embeddings import Embeddings, Purpose
from agent_core.errors import ModelUnavailableError
from agent_core.testing.conformance.memory import outcome
from agent_memory import (
    EmbedderMismatchError,
    Fact,
    Filter,
    LongTermMemory,
    MemoryUnavailableError,
    MemoryVersionError,
)

MARCH = datetime(2026, 3, 10, tzinfo=UTC).timestamp()
NOVEMBER = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


class Standing:
    """A clock that a test moves."""

    def __init__(self, now: float = NOVEMBER) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Colours:
    """A fake embedder of two dimensions: warm and cold words."""

    def __init__(self, name: str = "fake:colours") -> None:
        self.name = name
        self.dimensions = 2
        self.texts: list[str] = []
        self.away = False

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if self.away:
            raise ModelUnavailableError("gone")
        self.texts += texts
        import numpy as np

        rows = [
            [float(any(w in t for w in ("red", "scarlet"))), float(any(w in t for w in ("blue", "navy")))]
            for t in texts
        ]
        return Embeddings(vectors=np.asarray(rows, "<f4").tobytes(), dimensions=2)

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncGenerator[LongTermMemory]:
    async with await LongTermMemory.open(tmp_path / "memory.db", clock=Standing()) as memory:
        yield memory


async def found(memory: LongTermMemory, question: str, **more: object) -> list[str]:
    return [hit.text for hit in await memory.search(question, **more)]  # type: ignore[arg-type]


async def test_an_answer_is_found_that_repeats_no_word_of_the_question(memory: LongTermMemory) -> None:
    await memory.add("I had soup for lunch.", speaker="Bo", session_id="x")
    await memory.add("Which instrument do you play?", speaker="Bo", session_id="a")
    await memory.add("The violin, since I was six.", speaker="Ana", session_id="a")
    await memory.add("Nice weather.", speaker="Bo", session_id="a")
    assert (await found(memory, "What instrument does Ana play?"))[0] == "The violin, since I was six."


async def test_what_was_said_is_found_in_other_forms(memory: LongTermMemory) -> None:
    await memory.add("Yesterday I went to Zürich and bought two knives.", session_id="a")
    await memory.add("東京で寿司を食べました。", session_id="b")
    for question in ("When did she go to Zurich?", "Did she buy a knife?"):
        assert (await found(memory, question))[0].startswith("Yesterday")
    assert (await found(memory, "寿司"))[0].startswith("東京")


async def test_a_time_in_the_question_lifts_what_was_said_then(memory: LongTermMemory) -> None:
    for month in (2, 3, 4):
        said_at = datetime(2026, month, 10, tzinfo=UTC).timestamp()
        await memory.add(f"The budget is {month} million.", session_id=str(month), said_at=said_at)
    hits = await memory.search("What was the budget last March?")
    assert hits[0].text == "The budget is 3 million."
    why = hits[0].why()
    assert why.span is not None
    assert why.signals["in_time"] > 0
    assert "the question is about 'last March'" in str(why)
    assert (await found(memory, "What did they say last March?"))[0] == "The budget is 3 million."


async def test_age_lowers_a_rank_and_hides_nothing(memory: LongTermMemory) -> None:
    await memory.add("The door code is 1234.", session_id="old", said_at=NOVEMBER - 9 * 365 * 86_400)
    await memory.add("The door code is 9876.", session_id="new", said_at=NOVEMBER)
    assert await found(memory, "the door code") == ["The door code is 9876.", "The door code is 1234."]


async def test_importance_lifts(memory: LongTermMemory) -> None:
    await memory.add("The gate code is 1.", session_id="a", importance=1.0)
    await memory.add("The gate code is 2.", session_id="b", importance=0.0)
    assert (await found(memory, "gate code"))[0] == "The gate code is 1."


async def test_every_hit_says_why(memory: LongTermMemory) -> None:
    await memory.add("I like tea.", speaker="Ana", session_id="a")
    (hit,) = await memory.search("Does Ana like tea?")
    why = hit.why()
    assert set(why.terms) == {"ana", "like", "tea"}
    assert math.isclose(why.score, sum(why.signals.values()))
    assert str(why).startswith(f"{why.score:.2f}: the words of the question")


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        (Filter(), {0, 1, 2, 3}),
        (Filter(session_id="s0"), {0, 2}),
        (Filter(speaker="Ana"), {0, 1}),
        (Filter(since=2), {2, 3}),
        (Filter(until=2), {0, 1}),
        (Filter(speaker="Ana", since=1), {1}),
        (Filter(session_id="none"), set()),
    ],
)
async def test_a_filter_holds_for_all_that_is_found(
    memory: LongTermMemory, only: Filter, numbers: set[int]
) -> None:
    for number in range(4):
        speaker = "Ana" if number < 2 else "Bo"
        await memory.add(f"tea {number}", session_id=f"s{number % 2}", speaker=speaker, said_at=float(number))
    expected = {f"tea {number}" for number in numbers}
    assert set(await found(memory, "tea in 1970", only=only)) == expected
    assert {one.text async for one in memory.episodes(only)} == expected


async def test_the_same_key_is_kept_once(memory: LongTermMemory) -> None:
    first = await memory.add("one", key="k")
    assert await memory.add("one, again", key="k") == first
    assert [one.text async for one in memory.episodes()] == ["one"]


async def test_recalled_text_is_never_stored_again(memory: LongTermMemory) -> None:
    assert await memory.add("<recalled>\nAna likes tea\n</recalled>") is None
    assert await memory.add("  ") is None
    await memory.add("New. <recalled>Ana likes tea</recalled>")
    assert [one.text async for one in memory.episodes()] == ["New."]


async def test_a_run_leaves_its_outcome_and_two_episodes_once(memory: LongTermMemory) -> None:
    state = outcome(1, "s", "what is tea?", tool=True)
    await memory.record(state)
    await memory.record(state)
    kept = [one async for one in memory.episodes()]
    assert [(one.speaker, one.text, one.run_id) for one in kept] == [
        ("user", "what is tea?", "run_001"),
        ("assistant", "re: what is tea?", "run_001"),
    ]
    (known,) = await memory.outcomes(session_id="s")
    assert (known.goal, known.answer, known.tool_calls) == ("what is tea?", "re: what is tea?", 1)
    assert await memory.outcomes(session_id="other") == []


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def lives(where: str, since: float) -> Fact:
    return Fact(subject="Ana", predicate="lives_in", object=where, valid_from=since)


async def test_what_was_believed_can_be_asked_for(tmp_path: Path) -> None:
    clock = Standing(100)
    async with await LongTermMemory.open(tmp_path / "m.db", clock=clock) as memory:
        await memory.state(lives("Porto", 10))
        clock.time = 200
        await memory.state(lives("Lisbon", 50))
        await memory.state(Fact(subject="Ana", predicate="likes", object="tea", valid_from=0))

        async def where(**when: float) -> list[str]:
            return [one.object for one in await memory.facts("Ana", "lives_in", **when)]

        assert await where() == ["Porto", "Lisbon"]
        assert await where(valid_at=20) == ["Porto"]
        assert await where(valid_at=60) == ["Lisbon"]
        assert await where(valid_at=60, known_at=150) == ["Porto"], "at 150 nobody knew of Lisbon"
        assert await where(known_at=50) == []
        assert len(await memory.facts("Ana")) == 3


async def test_a_retracted_fact_is_held_no_more(memory: LongTermMemory) -> None:
    held = await memory.state(lives("Porto", 10))
    assert await memory.retract(held.id)
    assert not await memory.retract(held.id)
    assert await memory.facts("Ana") == []


async def test_facts_are_found_with_their_sources(memory: LongTermMemory) -> None:
    row_id = await memory.add("I moved to Porto.", speaker="Ana")
    assert row_id is not None
    await memory.state(Fact(**{**_fields(lives("Porto", 10)), "sources": (row_id,)}))
    await memory.state(Fact(subject="Bo", predicate="has", object="a dog", valid_from=0))
    (hit,) = await memory.search_facts("where is Ana living?")
    assert hit.text == "Ana lives in Porto"
    assert hit.why().sources == (row_id,)


def _fields(fact: Fact) -> dict[str, object]:
    return {name: getattr(fact, name) for name in fact.__struct_fields__}


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_values_are_kept_by_key(memory: LongTermMemory) -> None:
    assert memory.get("prefers/theme", str) is None
    await memory.set("prefers/theme", "dark")
    await memory.set("prefers/units", {"length": "m"})
    await memory.set("prefers/theme", "light")
    assert memory.get("prefers/theme", str) == "light"
    assert await memory.values("prefers/") == {"prefers/theme": "light", "prefers/units": {"length": "m"}}
    assert await memory.values("x") == {}


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda memory: memory.set("no \ud800 text", 1), id="a key that is no UTF-8"),
        pytest.param(lambda memory: memory.retract(1 << 70), id="a number too large"),
    ],
)
async def test_what_cannot_be_written_fails_alone_and_not_with_those_beside_it(
    memory: LongTermMemory, refused: Callable[[LongTermMemory], Awaitable[object]]
) -> None:
    others = [memory.set("colour", "red"), memory.add("The door is red."), memory.set("size", 4)]
    one, *rest = await asyncio.gather(refused(memory), *others, return_exceptions=True)
    assert isinstance(one, UnicodeEncodeError | OverflowError)
    assert [fate for fate in rest if isinstance(fate, BaseException)] == []
    assert await memory.values() == {"colour": "red", "size": 4}
    with pytest.raises(type(one)):
        await refused(memory)
    assert len([episode async for episode in memory.episodes()]) == 1


async def test_meaning_finds_what_words_do_not(tmp_path: Path) -> None:
    colours = Colours()
    async with await LongTermMemory.open(tmp_path / "m.db", embedder=colours) as memory:
        await memory.add("a scarlet coat", session_id="a")
        await memory.add("a navy coat", session_id="b")
        await memory.settled()
        (hit, *_) = await memory.search("something red")
        assert hit.text == "a scarlet coat"
        assert "similar meaning" in str(hit.why())
        assert await found(memory, "something red", only=Filter(session_id="b")) in ([], ["a navy coat"])


async def test_an_embedder_that_is_away_is_asked_again(tmp_path: Path) -> None:
    colours = Colours()
    colours.away = True
    async with await LongTermMemory.open(tmp_path / "m.db", embedder=colours) as memory:
        await memory.add("a scarlet coat")
        await memory.settled()
        assert await found(memory, "coat") == ["a scarlet coat"], "words will do"
        colours.away = False
        await memory.add("a navy coat")
        await memory.settled()
        assert (await found(memory, "red"))[0] == "a scarlet coat"


async def test_vectors_of_another_embedder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    async with await LongTermMemory.open(path, embedder=Colours()) as memory:
        await memory.add("a scarlet coat")
        await memory.settled()
    other = Colours("fake:other")
    with pytest.raises(EmbedderMismatchError, match="embed_again"):
        await LongTermMemory.open(path, embedder=other)
    async with await LongTermMemory.open(path, embedder=other, embed_again=True) as memory:
        await memory.settled()
        assert "a scarlet coat" in other.texts
    async with await LongTermMemory.open(path) as memory:
        assert await found(memory, "coat") == ["a scarlet coat"]


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_is_all_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.db"
    async with await LongTermMemory.open(path) as memory:
        await memory.add("I like tea", session_id="a")
        await memory.state(lives("Porto", 10))
        await memory.set("k", 1)
    assert path.stat().st_mode & 0o777 == 0o600
    async with await LongTermMemory.open(path) as memory:
        assert await found(memory, "tea") == ["I like tea"]
        assert len(await memory.facts()) == 1
        assert memory.get("k", int) == 1


async def test_two_memories_on_one_file_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    async with await LongTermMemory.open(path) as one, await LongTermMemory.open(path) as two:
        await one.add("tea", session_id="s")
        await two.add("tea too", session_id="s")
        assert [(e.ordinal, e.text) async for e in one.episodes()] == [(0, "tea"), (1, "tea too")]


async def test_a_newer_file_and_a_foreign_one_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    await (await LongTermMemory.open(path)).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(MemoryVersionError, match="99"):
        await LongTermMemory.open(path)
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(MemoryUnavailableError, match="something else"):
        await LongTermMemory.open(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("no database at all" * 100)
    with pytest.raises(MemoryUnavailableError, match="no SQLite database"):
        await LongTermMemory.open(tmp_path / "text.db")


async def test_a_closed_memory_says_so(tmp_path: Path) -> None:
    memory = await LongTermMemory.open(tmp_path / "m.db")
    await memory.close()
    await memory.close()
    with pytest.raises(MemoryUnavailableError, match="closed"):
        await memory.add("x")
    with pytest.raises(MemoryUnavailableError, match="closed"):
        memory.get("x", str)
