"""Constrained mode: the reply is one JSON object, and whatever else comes is the answer."""

import json

import pytest

from agent_core.chat import Completion, ModelProfile, ToolMode
from agent_core.messages import Message, Text, assistant, user
from agent_core.testing import ScriptedModel, answer, tool
from agent_core.tool_modes import TurnView
from agent_core.tool_modes.constrained import constrained
from agent_core.tools import ToolCall, ToolExample, ToolOffer, ToolResult

SPEC = tool("add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
SHOT = ToolExample(utterance="add 1 to ä", arguments={"a": 1})
OFFERS = (ToolOffer(spec=SPEC, score=0.5, shots=(SHOT,)), ToolOffer(spec=tool("now"), score=0.1))


def take(offers, text, messages=None):
    messages = messages or (user("hi"),)
    view = TurnView(messages=messages, offers=offers, profile=ModelProfile(name="m"), turn=2)
    turn = constrained(view)
    ask = next(turn)
    with pytest.raises(StopIteration) as stop:
        turn.send(Completion(message=assistant(text), model="m-1"))
    return ask, stop.value.value


def test_the_reply_is_held_to_a_call_of_an_offered_tool_or_an_answer():
    ask, _ = take(OFFERS, "{}")
    *calls, said = ask.request.constraint.schema["anyOf"]
    assert [one["properties"]["tool"] for one in calls] == [{"const": "add"}, {"const": "now"}]
    assert calls[0]["properties"]["arguments"] == SPEC.parameters
    assert said["required"] == ["answer"]
    assert all(one["additionalProperties"] is False for one in (*calls, said))
    assert not ask.visible
    assert not ask.request.tools


def test_the_preface_names_the_tools_and_shows_examples():
    ask, _ = take(OFFERS, "{}")
    preface = ask.request.messages[0]
    assert preface.role == "system"
    assert "- add: The tool add." in preface.text
    assert 'add 1 to ä -> {"tool": "add", "arguments": {"a": 1}}' in preface.text


def test_where_a_tool_must_be_called_an_answer_is_no_choice_and_no_example():
    view = TurnView(
        messages=(user("hi"),), offers=OFFERS, profile=ModelProfile(name="m"), turn=2, must_call=True
    )
    ask = next(constrained(view))
    shapes = ask.request.constraint.schema["anyOf"]
    assert [one["properties"]["tool"]["const"] for one in shapes] == ["add", "now"]
    assert "answer" not in ask.request.messages[0].text
    assert "add 1 to ä ->" in ask.request.messages[0].text


def test_without_tools_the_answer_is_free_and_shown():
    ask, outcome = take((), "plain words")
    assert ask.request.constraint is None
    assert ask.visible
    assert outcome.message == assistant("plain words")


REPLIES = {
    "a call": ('{"tool": "add", "arguments": {"a": 1}}', ("add", {"a": 1})),
    "a call without arguments": ('{"tool": "now"}', ("now", {})),
    "a call of an unknown tool, for the tool runner to refuse": (
        '{"tool": "fly", "arguments": {}}',
        ("fly", {}),
    ),
    "an answer": ('{"answer": "42"}', "42"),
    "an empty answer": ('{"answer": ""}', '{"answer": ""}'),
    "garbage": ("I would add them", "I would add them"),
    "cut off": ('{"tool": "add", "argum', '{"tool": "add", "argum'),
    "arguments of a wrong kind": ('{"tool": "add", "arguments": [1]}', '{"tool": "add", "arguments": [1]}'),
    "no object": ("[1, 2]", "[1, 2]"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "expected"), REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_is_read_as(text, expected):
    _, outcome = take(OFFERS, text)
    if isinstance(expected, str):
        assert outcome.message == assistant(expected)
    else:
        (one,) = outcome.message.tool_calls
        assert (one.name, one.arguments) == expected
        assert one.tool_call_id == "call_2"


def test_calls_and_results_are_shown_as_text():
    messages = (
        user("hi"),
        Message(
            role="assistant",
            parts=(Text(text="let me see"), ToolCall(tool_call_id="c", name="add", arguments={"a": 1})),
        ),
        Message(
            role="tool",
            parts=(
                ToolResult(tool_call_id="c", content="2"),
                ToolResult(tool_call_id="d", content="no", error="failed"),
                Text(text="think again"),
            ),
        ),
    )
    ask, _ = take(OFFERS, "{}", messages)
    _, asked, called, results = ask.request.messages
    assert asked == user("hi")
    assert called == assistant('let me see\n{"tool": "add", "arguments": {"a": 1}}')
    assert results.role == "user"
    assert results.text.splitlines() == [
        "Result of the tool: 2",
        "The tool failed: no",
        "think again",
        "Now answer the question with this.",
    ]


async def test_a_whole_run_in_constrained_mode(runner_of):
    profile = ModelProfile(name="test:small", tool_mode=ToolMode.CONSTRAINED)
    replies = [answer(json.dumps({"tool": "add", "arguments": {"a": 41}})), answer('{"answer": "42"}')]
    runner = runner_of(ScriptedModel(replies, profile=profile), {"add": lambda a: str(a + 1)})
    state = await runner.run("add one to 41")
    assert state.answer == "42"
    assert [one.arguments for one, _ in runner.adapters.tools.ran] == [{"a": 41}]
