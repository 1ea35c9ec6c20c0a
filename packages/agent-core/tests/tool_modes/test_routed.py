"""Routed mode: the router proposes, the model fills in, the template answers."""

import pytest

from agent_core.chat import ModelProfile, ToolMode
from agent_core.messages import assistant
from agent_core.testing import ScriptedModel, ScriptedTools, tool
from agent_core.tools import ToolOffer

PARAMETERS = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "loud": {"type": "boolean"}, "note": {"type": "string"}},
    "required": ["count", "loud"],
}
SPEC = tool("roll", parameters=PARAMETERS, answer="{count} dice: {result}")


class Router(ScriptedTools):
    """Proposes the tool for every request that names it."""

    async def specs(self, query):
        return (ToolOffer(spec=SPEC, score=0.9, proposed="roll" in query),)


@pytest.fixture
def run(runner_of):
    async def run(prompt, *replies):
        profile = ModelProfile(name="test:tiny", tool_mode=ToolMode.ROUTED)
        model = ScriptedModel([assistant(text) for text in replies], profile=profile)
        tools = Router({"roll": lambda count, loud: f"{count} and {loud}"}, specs=[SPEC])
        runner = runner_of(model, tools)
        return await runner.run(prompt), runner

    return run


async def test_a_proposed_tool_is_called_with_one_question_an_argument(run):
    state, runner = await run("please roll", "2", "true")
    assert state.answer == "2 dice: 2 and True"
    assert [one.arguments for one, _ in runner.adapters.tools.ran] == [{"count": 2, "loud": True}]
    assert len(runner.adapters.model.requests) == 2
    assert all(request.constraint is not None for request in runner.adapters.model.requests)


async def test_without_a_proposed_tool_the_model_answers(run):
    state, runner = await run("hello", "hi there")
    assert state.answer == "hi there"
    assert runner.adapters.tools.ran == []
    assert runner.adapters.model.requests[0].messages[-1].text == "hello"
