import json
from typing import Any

import pytest

from agent_core.chat import (
    Choice,
    Completion,
    JsonSchema,
    ModelRequest,
    NamedTool,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.errors import ModelError
from agent_core.messages import (
    File,
    FinishReason,
    Image,
    Message,
    Opaque,
    Reasoning,
    Text,
    Usage,
    assistant,
    system,
    user,
)
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_gateway.compat import Thinking, Traits
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.errors import BrokenReplyError, ConstraintUnsupportedError, ProviderUnavailableError
from agent_gateway.failures import Target

DIALECT = AnthropicMessages()
TARGET = Target(where="anthropic:m", model="m")
ADD = ToolSpec(name="math.add", description="Adds.", parameters={"type": "object"})
ORIGIN = "anthropic_messages"


def encode(*messages: Message, traits: Traits | None = None, **settings: Any) -> dict[str, Any]:
    wiring = Wiring(model="m", stream=False, traits=traits or Traits())
    body = json.loads(DIALECT.encode(ModelRequest(messages=messages, **settings), wiring).body)
    assert body.pop("model") == "m"
    return body


def content(*messages: Message) -> Any:
    return encode(*messages)["messages"]


class TestRequests:
    def test_a_conversation(self) -> None:
        call = ToolCall(tool_call_id="c1", name="math.add", arguments={"a": 1})
        broken = ToolCall(tool_call_id="c2", name="gone", arguments={}, malformed="{a:")
        thought = Reasoning(text="hm", signature="seal", origin=ORIGIN)
        hidden = Reasoning(text="", signature="data", redacted=True, origin=ORIGIN)
        foreign = Reasoning(text="hm", signature="seal", origin="gemini")
        own, other = Opaque(origin=ORIGIN, item={"type": "x"}), Opaque(origin="gemini", item={"type": "y"})
        body = encode(
            system("be kind"),
            user("hi"),
            Message(
                role="assistant", parts=(thought, hidden, foreign, Text(text="so"), own, other, call, broken)
            ),
            Message(
                role="tool",
                parts=(
                    ToolResult(tool_call_id="c1", content="2"),
                    ToolResult(tool_call_id="c2", content="no JSON", error="invalid_arguments"),
                ),
            ),
            user("think again"),
            tools=(ADD,),
        )
        assert body["system"] == "be kind"
        assert body["messages"] == [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "seal"},
                    {"type": "redacted_thinking", "data": "data"},
                    {"type": "text", "text": "so"},
                    {"type": "x"},
                    {"type": "tool_use", "id": "c1", "name": "math_add", "input": {"a": 1}},
                    {"type": "tool_use", "id": "c2", "name": "gone", "input": {"malformed": "{a:"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "2"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "no JSON", "is_error": True},
                    {"type": "text", "text": "think again"},
                ],
            },
        ]
        assert body["tools"] == [
            {"name": "math_add", "description": "Adds.", "input_schema": {"type": "object"}}
        ]
        assert body["max_tokens"] == 4_096
        assert "tool_choice" not in body

    @pytest.mark.parametrize(
        ("part", "block"),
        [
            (
                Image(data=b"png", media_type="image/png"),
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}},
            ),
            (
                Image(url="https://h/a.png"),
                {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
            ),
            (Image(file_id="f1"), {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
            (
                File(data=b"%PDF", name="a.pdf"),
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    "title": "a.pdf",
                },
            ),
            (
                File(data="é".encode(), media_type="text/markdown"),
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
            ),
        ],
    )
    def test_media(self, part: Any, block: dict[str, Any]) -> None:
        assert content(Message(role="user", parts=(part, Text(text="look"))))[0]["content"] == [
            block,
            {"type": "text", "text": "look"},
        ]

    def test_a_file_that_the_provider_holds_needs_a_header(self) -> None:
        message = Message(role="user", parts=(File(file_id="f"),))
        request = DIALECT.encode(ModelRequest(messages=(message,)), Wiring(model="m"))
        assert request.headers == {"anthropic-beta": "files-api-2025-04-14"}
        assert request.path == "/messages"
        assert DIALECT.headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}

    @pytest.mark.parametrize(
        ("settings", "choice"),
        [
            ({}, None),
            ({"tool_choice": "required"}, {"type": "any"}),
            ({"tool_choice": "none"}, {"type": "none"}),
            ({"tool_choice": NamedTool(name="math.add")}, {"type": "tool", "name": "math_add"}),
            ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ],
    )
    def test_tool_choice(self, settings: dict[str, Any], choice: Any) -> None:
        assert encode(user("hi"), tools=(ADD,), **settings).get("tool_choice") == choice

    @pytest.mark.parametrize(
        ("thinking", "settings", "expected"),
        [
            (Thinking.NONE, {"effort": "high"}, {"max_tokens": 4_096}),
            (
                Thinking.BUDGET,
                {"effort": "low", "temperature": 0.5},
                {"max_tokens": 6_144, "thinking": {"type": "enabled", "budget_tokens": 2_048}},
            ),
            (
                Thinking.BUDGET,
                {"effort": "none", "temperature": 0.5},
                {"max_tokens": 4_096, "temperature": 0.5},
            ),
            (
                Thinking.BUDGET,
                {"reasoning_tokens": 9_000, "max_output_tokens": 4_000},
                {"max_tokens": 4_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}},
            ),
            (
                Thinking.ADAPTIVE,
                {"effort": "max"},
                {"max_tokens": 4_096, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            ),
        ],
    )
    def test_thinking(self, thinking: Thinking, settings: dict[str, Any], expected: dict[str, Any]) -> None:
        body = encode(user("hi"), traits=Traits(thinking=thinking), **settings)
        body.pop("messages")
        assert body == expected

    def test_caching(self) -> None:
        marked = Message(role="user", parts=(Text(text="long"),), cache=True)
        body = encode(
            Message(role="system", parts=(Text(text="rules"),), cache=True), marked, cache_ttl_s=3_600
        )
        mark = {"type": "ephemeral", "ttl": "1h"}
        assert body["system"] == [{"type": "text", "text": "rules", "cache_control": mark}]
        assert body["messages"][0]["content"] == [{"type": "text", "text": "long", "cache_control": mark}]
        assert body["cache_control"] == mark

    def test_structured_output(self) -> None:
        shape = JsonSchema(schema={"type": "object"})
        body = encode(user("hi"), constraint=shape, effort="low", traits=Traits(thinking=Thinking.ADAPTIVE))
        expected = {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
        assert body["output_config"] == expected
        for constraint, traits in ((shape, Traits(json_schema=False)), (Choice(values=("a",)), Traits())):
            with pytest.raises(ConstraintUnsupportedError):
                encode(user("hi"), constraint=constraint, traits=traits)

    def test_a_system_message_in_the_middle_stays_there_where_it_may(self) -> None:
        messages = (user("a"), assistant("b"), system("c"), user("d"))
        assert encode(*messages)["system"] == "c"
        body = encode(*messages, traits=Traits(system_turns=True))
        assert [one["role"] for one in body["messages"]] == ["user", "assistant", "system", "user"]


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": said}


def end(reason: str | None = "end_turn", **usage: int) -> list[dict[str, Any]]:
    ended = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
    return [ended, {"type": "message_stop"}]


HEAD = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "served", "usage": {"input_tokens": 3, "cache_read_input_tokens": 2}},
}


def decode(*events: dict[str, Any]) -> tuple[list[Any], Completion]:
    decoder = DIALECT.decoder(TARGET, names={"math_add": "math.add"}, new_id=lambda: "new")
    items = [item for event in events for item in decoder.feed(json.dumps(event).encode())]
    last = items[-1]
    assert isinstance(last, Completion)
    return items[:-1], last


class TestReplies:
    def test_blocks_in_their_order(self) -> None:
        deltas, completion = decode(
            HEAD,
            {"type": "ping"},
            start(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="hm"),
            delta(0, type="signature_delta", signature="se"),
            delta(0, type="signature_delta", signature="al"),
            start(1, type="redacted_thinking", data="secret"),
            start(2, type="text", text=""),
            delta(2, type="text_delta", text="a"),
            delta(2, type="citations_delta", citation={"x": 1}),
            start(3, type="server_tool_use", id="s", name="web_search", input={}),
            delta(3, type="input_json_delta", partial_json='{"q":'),
            delta(3, type="input_json_delta", partial_json="1}"),
            start(4, type="web_search_tool_result", content=[]),
            start(5, type="tool_use", id="c", name="math_add", input={}),
            delta(5, type="input_json_delta", partial_json='{"a": '),
            delta(5, type="input_json_delta", partial_json="1}"),
            *end("tool_use", output_tokens=9),
        )
        assert deltas == [
            ReasoningDelta("hm"),
            TextDelta("a"),
            ToolCallDelta(index=0, name="math.add"),
            ToolCallDelta(index=0, arguments='{"a": '),
            ToolCallDelta(index=0, arguments="1}"),
        ]
        assert completion.message.parts == (
            Reasoning(text="hm", signature="seal", origin=ORIGIN),
            Reasoning(text="", signature="secret", redacted=True, origin=ORIGIN),
            Text(text="a"),
            Opaque(
                origin=ORIGIN,
                item={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            ),
            Opaque(origin=ORIGIN, item={"type": "web_search_tool_result", "content": []}),
            ToolCall(tool_call_id="c", name="math.add", arguments={"a": 1}),
        )
        assert (completion.model, completion.response_id, completion.stop_detail) == (
            "served",
            "msg_1",
            "tool_use",
        )
        assert completion.usage == Usage(input_tokens=3, cached_input_tokens=2, output_tokens=9)

    @pytest.mark.parametrize(
        ("wire", "ours"),
        [
            ("end_turn", FinishReason.STOP),
            ("stop_sequence", FinishReason.STOP),
            ("max_tokens", FinishReason.LENGTH),
            ("model_context_window_exceeded", FinishReason.LENGTH),
            ("pause_turn", FinishReason.PAUSED),
            ("refusal", FinishReason.CONTENT_FILTER),
            ("brand_new", FinishReason.STOP),
        ],
    )
    def test_stop_reasons(self, wire: str, ours: FinishReason) -> None:
        assert decode(HEAD, start(0, type="text", text="a"), *end(wire))[1].finish_reason is ours

    def test_a_refusal_says_that_it_is_one(self) -> None:
        _, said = decode(HEAD, start(0, type="text", text="I cannot"), *end("refusal"))
        assert said.message.parts == (Text(text="I cannot", refusal=True),)
        body = {"content": [], "stop_reason": "refusal", "stop_details": {"explanation": "no"}}
        decoder = DIALECT.decoder(TARGET)
        decoder.take(json.dumps(body).encode())
        assert decoder.finish().message.parts == (Text(text="no", refusal=True),)

    def test_what_compatible_servers_leave_out(self) -> None:
        """No start of a block, no id, no message_stop."""
        decoder = DIALECT.decoder(TARGET, new_id=lambda: "new")
        events = [delta(0, text="a"), start(1, type="tool_use", name="f", input={"a": 1}), end()[0]]
        for event in events:
            decoder.feed(json.dumps(event).encode())
        completion = decoder.finish()
        assert completion.message.text == "a"
        assert completion.message.tool_calls == (ToolCall(tool_call_id="new", name="f", arguments={"a": 1}),)
        assert completion.finish_reason is FinishReason.TOOL_CALLS

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (
                b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}',
                ProviderUnavailableError,
            ),
            (b'{"type": "error"}', ProviderUnavailableError),
            (b"<html>", BrokenReplyError),
            (b"[]", BrokenReplyError),
        ],
    )
    def test_errors(self, event: bytes, kind: type[ModelError]) -> None:
        with pytest.raises(kind):
            DIALECT.decoder(TARGET).feed(event)
