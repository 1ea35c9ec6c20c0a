import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent_core.chat import JsonSchema
from agent_core.errors import ModelUnavailableError
from agent_core.testing.models import ScriptedModel, answer
from agent_memory import ExtractionBudget, Fact, LongTermMemory, extract_facts


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncGenerator[LongTermMemory]:
    async with await LongTermMemory.open(tmp_path / "memory.db") as memory:
        yield memory


def stated(object_: object, line: object = 1, **more: object) -> dict[str, object]:
    return {"subject": "Ana", "predicate": "lives_in", "object": object_, "many": False, "line": line, **more}


def replies(*facts: dict[str, object]):
    return answer(json.dumps({"facts": facts}))


async def test_facts_are_stated_with_the_episode_that_says_so(memory: LongTermMemory) -> None:
    await memory.add("How are you?", speaker="Bo", session_id="s", said_at=5.0)
    row_id = await memory.add("I moved to Porto.", speaker="Ana", session_id="s", said_at=7.0)
    model = ScriptedModel([replies(stated("Porto", 2))])
    report = await extract_facts(memory, model)
    assert (report.episodes, report.facts, report.refused, report.calls, report.stopped) == (2, 1, 0, 1, "")
    (fact,) = await memory.facts()
    assert (fact.object, fact.sources, fact.valid_from) == ("Porto", (row_id,), 7.0)
    (request,) = model.requests
    assert request.messages[-1].text == "1. Bo: How are you?\n2. Ana: I moved to Porto."
    assert isinstance(request.constraint, JsonSchema)


async def test_a_job_goes_on_where_the_last_one_stopped(memory: LongTermMemory) -> None:
    model = ScriptedModel([replies()])
    await memory.add("one", session_id="s")
    await extract_facts(memory, model)
    assert (await extract_facts(memory, model)).calls == 0
    await memory.add("two", session_id="s")
    assert (await extract_facts(memory, model)).episodes == 1
    assert model.requests[-1].messages[-1].text == "1. somebody: two"


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        (ExtractionBudget(max_calls=2), 2),
        (ExtractionBudget(max_calls=0), 0),
        (ExtractionBudget(max_tokens=0), 0),
        (ExtractionBudget(max_cost_usd=0.0), 0),
        (ExtractionBudget(max_cost_usd=1.0), 1),
        (ExtractionBudget(), 3),
    ],
)
async def test_a_budget_is_kept(memory: LongTermMemory, budget: ExtractionBudget, calls: int) -> None:
    for session_id in "abc":
        await memory.add("word", session_id=session_id)
    report = await extract_facts(memory, ScriptedModel([replies()]), budget)
    assert report.calls == calls
    assert report.stopped == ("budget" if calls < 3 else "")


async def test_what_does_not_fit_is_left_out(memory: LongTermMemory) -> None:
    await memory.add("I moved to Porto.", speaker="Ana")
    wrong = (stated("", 1), stated("Rome", 2), stated("Rome", 0), stated(7), stated("Rome", "x"))
    report = await extract_facts(memory, ScriptedModel([replies(*wrong, stated("Porto"))]))
    assert (report.facts, report.refused) == (1, 5)
    assert [fact.object for fact in await memory.facts()] == ["Porto"]


async def test_a_reply_that_is_none_is_left_out(memory: LongTermMemory) -> None:
    await memory.add("I moved to Porto.")
    report = await extract_facts(memory, ScriptedModel([answer("I would rather chat.")]))
    assert (report.facts, report.refused, report.stopped) == (0, 1, "")


async def test_a_model_that_is_away_stops_the_job_and_nothing_is_lost(memory: LongTermMemory) -> None:
    await memory.add("I moved to Porto.")
    gone = await extract_facts(memory, ScriptedModel([ModelUnavailableError("gone")]))
    assert (gone.episodes, gone.stopped) == (0, "gone")
    assert (await extract_facts(memory, ScriptedModel([replies(stated("Porto"))]))).facts == 1


async def test_a_model_does_not_end_what_a_person_stated_later(memory: LongTermMemory) -> None:
    await memory.state(Fact(subject="Ana", predicate="lives_in", object="Lisbon", valid_from=10.0))
    await memory.add("I moved to Porto.", said_at=5.0)
    await extract_facts(memory, ScriptedModel([replies(stated("Porto"))]))
    assert [fact.object for fact in await memory.facts("Ana", valid_at=20.0)] == ["Lisbon"]
    assert [fact.object for fact in await memory.facts("Ana", valid_at=7.0)] == ["Porto"]
