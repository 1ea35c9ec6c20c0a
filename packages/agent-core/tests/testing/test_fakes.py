"""What the fakes promise beyond their ports: they record, and are the same every time."""

import pytest

from agent_core.chat import Completion, ModelRequest, TextDelta
from agent_core.messages import user
from agent_core.ports import HydrateRequest
from agent_core.state import RunState
from agent_core.testing import NoMemory, ScriptedModel, SequentialIds, VirtualClock, answer, call


async def test_time_moves_only_when_told():
    clock = VirtualClock(now=10.0)
    assert clock.now() == clock.now() == 10.0
    clock.advance(5)
    await clock.sleep(2.5)
    assert clock.now() == 17.5


def test_ids_count():
    ids = SequentialIds()
    assert [ids.new("run"), ids.new("writer")] == ["run_0001", "writer_0002"]


async def test_no_memory_knows_nothing_and_keeps_the_last_outcome_of_each_run():
    memory = NoMemory()
    request = HydrateRequest(run_id="r", session_id="s", input=user("hi"), budget_tokens=10)
    assert await memory.hydrate(request) == ()
    await memory.remember(RunState(run_id="r", answer="first"))
    await memory.remember(RunState(run_id="q", answer="other"))
    await memory.remember(RunState(run_id="r", answer="second"))
    assert [(one.run_id, one.answer) for one in memory.remembered] == [("q", "other"), ("r", "second")]


async def test_a_scripted_model_follows_its_script_and_repeats_the_end():
    model = ScriptedModel([call("t"), answer("the end"), ValueError("never"), lambda request: answer("made")])
    request = ModelRequest(messages=(user("hi"),))
    said = [[item async for item in model.stream(request)] for _ in range(2)]
    assert said[0][-1].message.tool_calls[0].name == "t"
    assert said[1][:-1] == [TextDelta("the"), TextDelta(" end")]
    with pytest.raises(ValueError, match="never"):
        await anext(model.stream(request))
    for _ in range(2):
        items = [item async for item in model.stream(request)]
        assert isinstance(items[-1], Completion)
        assert items[-1].message.text == "made"
    assert len(model.requests) == 5
