"""What is found by words: in any script, beside pasted documents, and where a word is everywhere."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent_memory import Fact, Filter, LongTermMemory
from agent_memory.long_term import episodes


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncGenerator[LongTermMemory]:
    async with await LongTermMemory.open(tmp_path / "memory.db") as memory:
        yield memory


async def found(memory: LongTermMemory, question: str) -> list[str]:
    return [hit.text for hit in await memory.search(question)]


@pytest.mark.parametrize(
    ("said", "others", "question"),
    [
        ("मेरी किताब खो गई।", ["कल केतली टूटी।", "कुत्ता बाहर है।"], "किताब कहाँ है?"),
        ("எனக்கு இறால் ஒவ்வாமை.", ["என் நாயின் பெயர் மணி.", "இரவு மழை."], "இறால் யார்?"),
        ("ฉันกำลังเรียนกีตาร์", ["ฉันแพ้กุ้ง", "วันนี้ฝนตก"], "ใครเรียนกีตาร์"),
        ("我在学吉他", ["我对花生过敏", "今天下雨"], "谁学吉他?"),
        ("ကျွန်တော် ဂီတာ သင်နေတယ်", ["မိုးရွာတယ်", "ခွေးနာမည် မဲမဲ"], "ဂီတာ ဘယ်သူ"),
    ],
)
async def test_words_are_words_in_any_script(
    memory: LongTermMemory, said: str, others: list[str], question: str
) -> None:
    for number, text in enumerate([*others, said, *others]):
        await memory.add(text, session_id=f"s{number}")
    (hit, *_) = await memory.search(question)
    assert hit.text == said
    assert hit.reason.terms
    assert any(len(term) > 1 for term in hit.reason.terms), "and not the letters between their vowels"


async def test_what_was_indexed_for_another_language_is_indexed_anew(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with await LongTermMemory.open(path) as memory:
        await memory.add("Wir haben die Häuser gestrichen.", session_id="s")
        await memory.state(Fact(subject="Ana", predicate="mag", object="Häuser", valid_from=0))
    async with await LongTermMemory.open(path, language="german") as memory:
        (hit, *_) = await memory.search("Welches Haus?")
        assert hit.reason.terms == ("haus",)
        assert (await memory.search_facts("Haus"))[0].text == "Ana mag Häuser"
        await memory.add("Das Haus ist blau.", session_id="s")
        assert len(await memory.search("Haus")) == 2


async def test_a_pasted_document_does_not_drown_the_turns_beside_it(tmp_path: Path) -> None:
    words = ["report", "table", "harbour", "crane", "tide", "berth", "cargo", "pilot", "customs", "ledger"]
    pasted = " ".join(words[number % 10] + str(number % 97) for number in range(2_000))
    async with await LongTermMemory.open(tmp_path / "m.db") as memory:
        for number in range(12):
            await memory.add(f"We spoke of the weather on walk {number}.", session_id="s", speaker="Ana")
        await memory.add(f"{pasted} crane", session_id="s", speaker="Ana")
        await memory.add("My crane broke down near the old mill.", session_id="s", speaker="Ana")
        assert (await found(memory, "Where did the crane break down?"))[0].startswith("My crane")
        assert (await found(memory, "Which walk near the mill?"))[0] != f"{pasted} crane"


async def test_words_that_are_everywhere_are_not_looked_up_and_hide_nothing(
    memory: LongTermMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        await memory.add(f"The weather was fine at noon of day {number}.", session_id=f"s{number}")
    await memory.add("We saw a heron in fine weather.", session_id="x")
    everywhere = await found(memory, "fine weather at noon")
    rare = "Where was a heron in fine weather?"
    assert (await found(memory, rare))[0] == "We saw a heron in fine weather."
    monkeypatch.setattr(episodes, "_READ", 20)
    assert await found(memory, "fine weather at noon") == everywhere, "nothing is rarer"
    assert await found(memory, rare) == ["We saw a heron in fine weather."]
    assert await found(memory, "day 17") == ["The weather was fine at noon of day 17."]
    (only,) = await memory.search("heron at noon", only=Filter(session_id="s3"))
    assert only.text.endswith("day 3."), "a filter that leaves only what is everywhere"


async def test_a_question_with_a_pasted_document_is_asked_by_its_ends(memory: LongTermMemory) -> None:
    await memory.add("The heron nests by the old mill.", session_id="s")
    await memory.state(Fact(subject="heron", predicate="nests_by", object="mill", valid_from=0))
    pasted = " ".join(f"word{number}" for number in range(300_000))
    for question in (f"Where does the heron nest? {pasted}", f"{pasted} So where does the heron nest?"):
        assert await found(memory, question) == ["The heron nests by the old mill."]
        (fact,) = await memory.search_facts(question)
        assert fact.text == "heron nests by mill"
