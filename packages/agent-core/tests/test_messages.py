"""Messages, their parts, and sums of usage."""

import msgspec
import pytest

from agent_core.messages import (
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    Usage,
    assistant,
    system,
    user,
)
from agent_core.tools import ToolCall, ToolResult


def test_a_message_is_read_by_kind_of_part():
    call = ToolCall(tool_call_id="c", name="t", arguments={})
    result = ToolResult(tool_call_id="c", content="r")
    message = Message(
        role="assistant", parts=(Text(text="a"), Reasoning(text="hm"), call, Text(text="b"), result)
    )
    assert message.text == "ab"
    assert message.tool_calls == (call,)
    assert message.tool_results == (result,)


@pytest.mark.parametrize(("make", "role"), [(system, "system"), (user, "user"), (assistant, "assistant")])
def test_short_forms(make, role):
    assert make("hi") == Message(role=role, parts=(Text(text="hi"),))


def test_a_result_is_an_error_where_it_has_a_code():
    assert not ToolResult(tool_call_id="c", content="").is_error
    assert ToolResult(tool_call_id="c", content="", error="timeout").is_error


def test_tokens_are_summed_class_by_class():
    one = Usage(
        input_tokens=1, output_tokens=2, cached_input_tokens=3, reasoning_tokens=4, cache_write_tokens=5
    )
    assert one + one == Usage(
        input_tokens=2, output_tokens=4, cached_input_tokens=6, reasoning_tokens=8, cache_write_tokens=10
    )
    assert one.total_tokens == 15
    assert one.prompt_tokens == 9


COSTS = {
    "both known": (Usage(cost_usd=0.25), Usage(cost_usd=0.5), 0.75),
    "none known": (Usage(input_tokens=1), Usage(input_tokens=1), None),
    "the unknown side spent nothing": (Usage(), Usage(cost_usd=0.5), 0.5),
    "the other unknown side spent nothing": (Usage(cost_usd=0.5), Usage(), 0.5),
    "the unknown side spent something": (Usage(input_tokens=1), Usage(cost_usd=0.5), None),
    "the other unknown side spent something": (Usage(cost_usd=0.5), Usage(input_tokens=1), None),
}


@pytest.mark.parametrize(("one", "other", "cost"), COSTS.values(), ids=COSTS.keys())
def test_a_cost_is_known_or_unknown_and_never_free_by_accident(one, other, cost):
    assert (one + other).cost_usd == cost


PARTS: dict[str, tuple[Part, str]] = {
    "text": (Text(text="a"), '{"type":"text","text":"a"}'),
    "a refusal": (Text(text="no", refusal=True), '{"type":"text","text":"no","refusal":true}'),
    "sealed thoughts": (
        Reasoning(text="", signature="s", redacted=True, origin="w"),
        '{"type":"reasoning","text":"","signature":"s","redacted":true,"origin":"w"}',
    ),
    "an image": (Image(data=b"png"), '{"type":"image","data":"cG5n"}'),
    "a file": (File(url="https://h/f.pdf"), '{"type":"file","url":"https://h/f.pdf"}'),
    "what the provider did": (
        Opaque(origin="w", item={"a": 1}),
        '{"type":"opaque","origin":"w","item":{"a":1}}',
    ),
}


@pytest.mark.parametrize(("part", "wire"), PARTS.values(), ids=PARTS.keys())
def test_a_part_is_kept_short_and_comes_back(part, wire):
    message = Message(role="user", parts=(part,))
    body = msgspec.json.encode(message)
    assert body.decode() == '{"role":"user","parts":[' + wire + "]}"
    assert msgspec.json.decode(body, type=Message) == message
