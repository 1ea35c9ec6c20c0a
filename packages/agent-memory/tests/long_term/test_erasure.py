# a test may wait for its own small files
import asyncio
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent_core.testing.conformance.memory import outcome
from agent_memory import Fact, Forgetting, Forgotten, LongTermMemory, StaticEmbedder


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncGenerator[LongTermMemory]:
    async with await LongTermMemory.open(tmp_path / "memory.db", embedder=StaticEmbedder()) as memory:
        yield memory


def files_with(folder: Path, needle: str) -> list[str]:
    """The files in which the bytes of a text stand, in any of the forms in which we write it."""
    forms = {needle.encode(), needle.lower().encode()}
    return [
        file.name
        for file in folder.rglob("*")
        if file.is_file() and any(f in file.read_bytes() for f in forms)
    ]


async def fill(memory: LongTermMemory, secret: str) -> None:
    """A secret, said, held, set and answered in a session, among much that is harmless."""
    said = [
        f"number {number} says {secret} to nobody" if number % 20 == 7 else f"number {number} is harmless"
        for number in range(60)
    ]
    await asyncio.gather(*(memory.add(text, session_id="s", speaker="Ana") for text in said))
    await memory.state(Fact(subject="Ana", predicate="code", object=secret, valid_from=0))
    await memory.state(Fact(subject="Ana", predicate="likes", object="tea", valid_from=0))
    await memory.set(f"codes/{secret}", 1)
    await memory.set("codes/plain", {"is": secret})
    await memory.set("theme", "dark")
    await memory.record(outcome(1, "t", f"the code is {secret}"))
    await memory.settled()


async def test_twenty_secrets_are_forgotten_to_the_last_byte(memory: LongTermMemory, tmp_path: Path) -> None:
    for _ in range(20):
        secret = "Zq" + secrets.token_hex(8)
        await fill(memory, secret)
        assert files_with(tmp_path, secret) != [], "the search would see it"
        forgotten = await memory.forget(Forgetting(containing=secret))
        assert forgotten == Forgotten(episodes=5, facts=1, outcomes=1, values=2)
        assert files_with(tmp_path, secret) == []
        assert all(secret not in hit.text for hit in await memory.search(f"who says {secret}?"))
    assert memory.get("theme", str) == "dark"
    assert [one.object for one in await memory.facts("Ana")] == ["tea"]
    assert len([one async for one in memory.episodes()]) == 20 * 57
    assert (await memory.search("number 12 harmless"))[0].text == "number 12 is harmless"


async def test_what_came_after_is_found_without_the_words_of_what_is_forgotten(
    memory: LongTermMemory, tmp_path: Path
) -> None:
    gone = await memory.add("the heron is blue", session_id="s")
    await memory.add("really?", session_id="s")
    await memory.add("yes, indeed it is", session_id="s")
    assert gone is not None
    await memory.forget(Forgetting(episode_ids=(gone,)))
    hits = await memory.search("heron")
    assert all("heron" not in hit.text and "around" not in hit.why().signals for hit in hits)
    assert files_with(tmp_path, "heron") == []
    assert await memory.by_id([gone]) == []
    later = await memory.add("the heron is back", session_id="s")
    assert later is not None
    assert later > gone, "an id is never given twice"


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (Forgetting(session_id="a"), {"b1", "b2"}),
        (Forgetting(speaker="Ana"), {"a2", "b2"}),
        (Forgetting(run_ids=("run",)), {"a1", "a2", "b1"}),
        (Forgetting(session_id="a", speaker="Bo"), {"b1"}),
        (Forgetting(), {"a1", "a2", "b1", "b2"}),
        (Forgetting(episode_ids=(99,)), {"a1", "a2", "b1", "b2"}),
    ],
)
async def test_what_is_named_goes_and_nothing_else(
    memory: LongTermMemory, what: Forgetting, left: set[str]
) -> None:
    for session_id in "ab":
        for speaker, number in (("Ana", 1), ("Bo", 2)):
            run_id = "run" if (session_id, number) == ("b", 2) else ""
            await memory.add(f"{session_id}{number}", session_id=session_id, speaker=speaker, run_id=run_id)
    await memory.forget(what)
    assert {one.text async for one in memory.episodes()} == left


async def test_a_fact_goes_with_its_last_source(memory: LongTermMemory) -> None:
    one, two = await memory.add("I moved to Porto"), await memory.add("Porto is nice")
    assert one is not None
    assert two is not None
    await memory.state(Fact(subject="Ana", predicate="at", object="Porto", valid_from=0, sources=(one, two)))
    await memory.state(Fact(subject="Bo", predicate="at", object="Rome", valid_from=0))
    assert (await memory.forget(Forgetting(episode_ids=(one,)))).facts == 0
    (fact,) = await memory.facts("Ana")
    assert fact.sources == (two,)
    assert (await memory.forget(Forgetting(episode_ids=(two,)))).facts == 1
    assert [held.subject for held in await memory.facts()] == ["Bo"]
    assert (await memory.forget(Forgetting(subject="Bo"))).facts == 1
