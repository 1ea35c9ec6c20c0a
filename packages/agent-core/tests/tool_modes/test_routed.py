"""Routed mode: the router proposes, the model fills in, the template answers."""

import pytest

from agent_core.chat import Choice, Grammar, JsonSchema, ModelProfile, ToolMode
from agent_core.messages import assistant
from agent_core.testing import ScriptedModel, ScriptedTools, tool
from agent_core.tools import Reading, ToolOffer

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


LISTED = tool(
    "list",
    parameters={
        "type": "object",
        "properties": {
            "names": {"type": "array", "items": {"$ref": "#/$defs/name"}},
            "how": {"type": "string", "enum": ["up", "down"]},
            "count": {"type": "integer"},
        },
        "required": ["names", "how", "count"],
        "$defs": {"name": {"type": "string"}},
    },
)


class ListRouter(ScriptedTools):
    """Proposes the same tool for everything, with values for one argument."""

    async def specs(self, query):
        readings = (Reading(argument="count", values=("3", "4")),)
        return (ToolOffer(spec=LISTED, proposed=True, readings=readings),)


@pytest.mark.parametrize("grammars", [True, False])
async def test_values_that_are_asked_for_as_json(runner_of, grammars):
    profile = ModelProfile(name="test:tiny", tool_mode=ToolMode.ROUTED, grammars=grammars)
    bare = ["up", "3"] if grammars else ['{"value": "up"}', '{"value": 3}']
    replies = ['{"value": ["a", "b"]}', *bare]
    model = ScriptedModel([assistant(text) for text in replies], profile=profile)
    tools = ListRouter({"list": lambda names, how, count: f"{names} {how} {count}"}, specs=[LISTED])
    runner = runner_of(model, tools)
    state = await runner.run("list a and b")
    assert state.answer == "['a', 'b'] up 3"
    kinds = [type(request.constraint) for request in model.requests]
    assert kinds == ([JsonSchema, Choice, Choice] if grammars else [JsonSchema, JsonSchema, JsonSchema])
    schema = model.requests[0].constraint.schema
    assert schema["$defs"], "what the argument refers to comes along"
    assert schema["properties"]["value"]["maxItems"]
    assert not model.requests[0].raw
    if not grammars:
        assert model.requests[2].constraint.schema["properties"]["value"] == {"enum": ["3", "4"]}


async def test_a_value_that_was_cut_off_is_left_to_the_skill(runner_of):
    profile = ModelProfile(name="test:tiny", tool_mode=ToolMode.ROUTED)
    model = ScriptedModel([assistant(text) for text in ('{"value": ["a', "up", "3")], profile=profile)
    tools = ListRouter({"list": lambda names, how, count: f"{names} {how} {count}"}, specs=[LISTED])
    state = await runner_of(model, tools).run("list a and b")
    assert state.answer == '{"value": ["a up 3'
    assert not isinstance(model.requests[1].constraint, Grammar)
