"""Replies of engines with words of their own: held calls, pieces, and how they end."""

import jsonschema
import pytest

from agent_core.chat import (
    Choice,
    Completion,
    JsonSchema,
    ModelRequest,
    NamedTool,
    SchemaLimits,
    TextDelta,
    ToolCallDelta,
)
from agent_core.messages import FinishReason, Usage, system, user
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.engines.held_calls import held_request, read_call
from agent_gateway.engines.replies import Piece, Reply, call_of

WEATHER = ToolSpec(
    name="get.weather",
    description="The weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = ToolSpec(name="clock", description="The time", parameters={"type": "object", "properties": {}})
NAMES = {"get_weather": "get.weather"}


def held(**fields: object) -> object:
    request = ModelRequest(messages=(user("hi"),), tools=(WEATHER, CLOCK), **fields)  # type: ignore[arg-type]
    asked = held_request(request, SchemaLimits(string_chars=9))
    if asked is None:
        return None
    assert not asked.tools, "engines would hold it to a grammar of their own"
    assert isinstance(asked.constraint, JsonSchema)
    assert asked.messages[0].role == "system"
    return asked.constraint.schema


def test_the_tools_are_told_of_behind_the_instructions() -> None:
    messages = (system("Be brief."), user("hi"))
    request = ModelRequest(messages=messages, tools=(WEATHER,), tool_choice="required")
    asked = held_request(request, SchemaLimits())
    assert asked is not None
    assert asked.messages[0].text.startswith("Be brief.\n\nCall a tool")
    assert "- get_weather: The weather Arguments: {" in asked.messages[0].text
    assert asked.messages[1:] == (user("hi"),)


def test_a_reply_that_must_be_a_call_is_held_to_one_of_the_tools() -> None:
    validator = jsonschema.Draft202012Validator(held(tool_choice="required"))
    assert validator.is_valid({"name": "get_weather", "arguments": {"city": "Paris"}})
    assert validator.is_valid({"name": "clock", "arguments": {}})
    assert not validator.is_valid({"name": "get_weather", "arguments": {"city": ""}})
    assert not validator.is_valid({"name": "get_weather", "arguments": {"city": "x" * 10}})
    assert not validator.is_valid({"name": "fly", "arguments": {}})


def test_a_named_tool_is_the_only_one() -> None:
    validator = jsonschema.Draft202012Validator(held(tool_choice=NamedTool(name="clock")))
    assert validator.is_valid({"name": "clock", "arguments": {}})
    assert not validator.is_valid({"name": "get_weather", "arguments": {"city": "Paris"}})


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tool_choice": NamedTool(name="fly")},
        {"tool_choice": "required", "constraint": Choice(values=("a",))},
    ],
)
def test_nothing_else_is_held(fields: dict[str, object]) -> None:
    assert held(**fields) is None


def test_reading_a_call() -> None:
    call = read_call('{"name": "get_weather", "arguments": {"city": "Oslo"}}', NAMES, "c1")
    assert call == ToolCall(tool_call_id="c1", name="get.weather", arguments={"city": "Oslo"})
    assert read_call('{"name": "get_wea', NAMES, "c1") is None


def said(reply: Reply, *pieces: Piece) -> tuple[list[object], Completion]:
    shown: list[object] = [delta for piece in pieces for delta in reply.take(piece)]
    *rest, last = reply.end()
    assert isinstance(last, Completion)
    return shown + rest, last


def test_text_is_shown_as_it_comes() -> None:
    usage = Usage(input_tokens=3, output_tokens=2)
    shown, last = said(Reply("m"), Piece(text="Hel"), Piece(), Piece(text="lo", finish="stop", usage=usage))
    assert shown == [TextDelta("Hel"), TextDelta("lo")]
    assert (last.message.text, last.model, last.usage) == ("Hello", "m", usage)
    assert last.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("abort", FinishReason.CANCELLED),
        ("stop", FinishReason.STOP),
        ("", FinishReason.STOP),
    ],
)
def test_how_it_ends(word: str, reason: FinishReason) -> None:
    assert said(Reply("m"), Piece(text="a", finish=word))[1].finish_reason is reason


def test_a_held_call_is_shown_as_one() -> None:
    reply = Reply("m", names=NAMES, held=True)
    shown, last = said(
        reply, Piece(text='{"name":"get_weather",'), Piece(text='"arguments":{"city":"Oslo"}}')
    )
    assert shown == [ToolCallDelta(index=0, name="get.weather", arguments='{"city":"Oslo"}')]
    assert last.finish_reason is FinishReason.TOOL_CALLS
    assert last.message.text == ""
    assert last.message.tool_calls[0].tool_call_id.startswith("call_")


def test_a_held_call_that_was_cut_off_is_text() -> None:
    shown, last = said(Reply("m", held=True), Piece(text='{"name":"get', finish="length"))
    assert shown == [TextDelta('{"name":"get')]
    assert (last.message.text, last.finish_reason) == ('{"name":"get', FinishReason.LENGTH)


def test_calls_that_the_engine_found() -> None:
    call = call_of("get_weather", '{"city":"Oslo"}', NAMES, "c7")
    shown, last = said(Reply("m"), Piece(text="well"), Piece(calls=(call,), finish="tool_calls"))
    assert shown[-1] == ToolCallDelta(index=0, name="get.weather", arguments='{"city":"Oslo"}')
    assert last.message.tool_calls == (call,)
    assert last.message.text == "well"
    assert last.finish_reason is FinishReason.TOOL_CALLS


def test_arguments_that_are_no_object_are_kept_as_they_are() -> None:
    assert call_of("f", "[1", {}).malformed == "[1"
    assert call_of("f", "", {}).arguments == {}
