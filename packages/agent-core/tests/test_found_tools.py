"""Tools that a model looked for are offered from then on, behind those that are offered anyway."""

import json

import msgspec
import pytest

from agent_core.found_tools import MOST_FOUND, with_found
from agent_core.messages import Message, Text
from agent_core.runner import Runner
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, ScriptedTools, answer, call, tool
from agent_core.tools import ToolCall, ToolOffer, ToolResult

FINDER = msgspec.structs.replace(tool("find"), finds_tools=True)
OFFERS = [ToolOffer(spec=tool("add")), ToolOffer(spec=FINDER)]


def looked(content, *, name="find", error=""):
    return [
        Message(role="assistant", parts=(ToolCall(tool_call_id="c", name=name, arguments={}),)),
        Message(role="tool", parts=(ToolResult(tool_call_id="c", content=content, error=error),)),
    ]


def named(*names):
    return json.dumps([{"name": name, "description": "x"} for name in names])


def offered(messages, offers=OFFERS, *, there_are=("add", "wipe", "send")):
    found = with_found(offers, messages, lambda name: tool(name) if name in there_are else None)
    return [one.spec.name for one in found]


def test_what_was_found_is_offered_behind_the_others_in_the_order_in_which_it_was_found():
    messages = [*looked(named("wipe")), *looked(named("send", "wipe", "add"))]
    assert offered(messages) == ["add", "find", "wipe", "send"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [Message(role="user", parts=(Text(text=named("wipe")),))],
        looked(named("wipe"), name="add"),
        looked(named("wipe"), error="timeout"),
        looked(named("wipe")[:-5]),
        looked('{"name": "wipe"}'),
        looked(named("nothing_of_that_name")),
    ],
)
def test_nothing_else_is_offered(messages):
    assert offered(messages) == ["add", "find"]


def test_without_a_tool_that_finds_tools_nothing_is_looked_for():
    assert offered(looked(named("wipe")), OFFERS[:1]) == ["add"]


def test_there_is_a_most():
    names = [f"t{number}" for number in range(MOST_FOUND + 5)]
    assert len(offered(looked(named(*names)), there_are=names)) == len(OFFERS) + MOST_FOUND


class OnlyTheFinder(ScriptedTools):
    """Offers one of its tools."""

    async def specs(self, query):
        return [one for one in await super().specs(query) if one.spec.finds_tools]


async def test_a_model_is_offered_what_it_found_at_its_next_turn():
    bodies = {"find": lambda: named("wipe"), "wipe": lambda: "wiped"}
    model = ScriptedModel([call("find", {}), call("wipe", {}), answer("done")])
    runner = Runner(
        model=model,
        tools=OnlyTheFinder(bodies, specs=[FINDER]),
        memory=NoMemory(),
        journal=InMemoryJournal(),
    )
    await runner.run("wipe it")
    assert [[one.name for one in request.tools] for request in model.requests] == [
        ["find"],
        ["find", "wipe"],
        ["find", "wipe"],
    ]
