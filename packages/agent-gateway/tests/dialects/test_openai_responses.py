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
    system,
    user,
)
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_gateway.compat import Thinking, Traits
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.dialects.openai_responses import OpenAIResponses
from agent_gateway.errors import (
    ConstraintUnsupportedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
)
from agent_gateway.failures import Target

DIALECT = OpenAIResponses()
TARGET = Target(where="openai:m", model="m")
ORIGIN = "openai_responses"
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolSpec(name="math.add", description="Adds.", parameters=CLOSED)
THINKS = Traits(thinking=Thinking.EFFORT)


def encode(*messages: Message, traits: Traits | None = None, **settings: Any) -> dict[str, Any]:
    wiring = Wiring(model="m", stream=False, traits=traits or Traits())
    request = DIALECT.encode(ModelRequest(messages=messages, **settings), wiring)
    assert request.path == "/responses"
    return json.loads(request.body)


class TestRequests:
    def test_a_conversation(self) -> None:
        call = ToolCall(tool_call_id="c1", name="math.add", arguments={"a": 1})
        thoughts = (
            Reasoning(text="one", summary=True, signature="seal", item_id="rs_1", origin=ORIGIN),
            Reasoning(text="two", summary=True, item_id="rs_1", origin=ORIGIN),
            Reasoning(text="open", item_id="rs_2", origin=ORIGIN),
            Reasoning(text="gone", summary=True, item_id="rs_3", origin=ORIGIN),
            Reasoning(text="foreign", signature="x", origin="gemini"),
        )
        body = encode(
            system("be kind"),
            system("be brief"),
            user("hi"),
            Message(
                role="assistant",
                parts=(
                    *thoughts,
                    Text(text="wait", phase="commentary"),
                    Opaque(origin=ORIGIN, item={"type": "web_search_call"}),
                    Opaque(origin="gemini", item={}),
                    call,
                ),
            ),
            Message(
                role="tool", parts=(ToolResult(tool_call_id="c1", content="2"), Text(text="think again"))
            ),
            system("now in French"),
            tools=(ADD,),
        )
        assert body["instructions"] == "be kind\n\nbe brief"
        assert body["store"] is False
        assert body["input"] == [
            {"role": "user", "content": "hi"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "encrypted_content": "seal",
                "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
            },
            {
                "type": "reasoning",
                "id": "rs_2",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "open"}],
            },
            {"role": "assistant", "content": "wait", "phase": "commentary"},
            {"type": "web_search_call"},
            {"type": "function_call", "call_id": "c1", "name": "math_add", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "2"},
            {"role": "user", "content": "think again"},
            {"role": "developer", "content": "now in French"},
        ]
        (tool,) = body["tools"]
        assert (tool["name"], tool["strict"]) == ("math_add", True)

    @pytest.mark.parametrize(
        ("part", "item"),
        [
            (
                Image(data=b"png", detail="low"),
                {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,cG5n"},
            ),
            (Image(file_id="f"), {"type": "input_image", "detail": "auto", "file_id": "f"}),
            (File(url="https://h/a.pdf"), {"type": "input_file", "file_url": "https://h/a.pdf"}),
            (File(file_id="f"), {"type": "input_file", "file_id": "f"}),
            (
                File(data=b"%PDF", name="a.pdf"),
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBERg==",
                },
            ),
        ],
    )
    def test_media(self, part: Any, item: dict[str, Any]) -> None:
        body = encode(Message(role="user", parts=(Text(text="look"), part)))
        assert body["input"] == [{"role": "user", "content": [{"type": "input_text", "text": "look"}, item]}]

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"tool_choice": "required"}, {"tool_choice": "required"}),
            (
                {"tool_choice": NamedTool(name="math.add")},
                {"tool_choice": {"type": "function", "name": "math_add"}},
            ),
            ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
            (
                {"max_output_tokens": 5, "temperature": 0.5, "top_p": 0.1},
                {"max_output_tokens": 5, "temperature": 0.5, "top_p": 0.1},
            ),
            (
                {"effort": "max", "traits": THINKS},
                {
                    "reasoning": {"effort": "high", "summary": "auto"},
                    "include": ["reasoning.encrypted_content"],
                },
            ),
            ({"cache_ttl_s": 86_400}, {"prompt_cache_retention": "24h"}),
            (
                {"constraint": JsonSchema(schema=CLOSED)},
                {
                    "text": {
                        "format": {"type": "json_schema", "name": "reply", "schema": CLOSED, "strict": True}
                    }
                },
            ),
        ],
    )
    def test_settings(self, settings: dict[str, Any], expected: dict[str, Any]) -> None:
        body = encode(user("hi"), tools=(ADD,), **settings)
        assert {name: body.get(name) for name in expected} == expected

    def test_only_schemas_hold_its_output(self) -> None:
        with pytest.raises(ConstraintUnsupportedError):
            encode(user("hi"), constraint=Choice(values=("a",)))


def event(kind: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, **more}


def completed(*output: dict[str, Any], kind: str = "completed", **more: Any) -> dict[str, Any]:
    response = {"id": "r", "model": "served", "status": kind, "output": list(output), **more}
    return event(kind, response=response)


def decode(*events: dict[str, Any]) -> tuple[list[Any], Completion]:
    decoder = DIALECT.decoder(TARGET, names={"math_add": "math.add"}, new_id=lambda: "new")
    items = [item for one in events for item in decoder.feed(json.dumps(one).encode())]
    last = items[-1]
    assert isinstance(last, Completion)
    return items[:-1], last


THOUGHT = {
    "type": "reasoning",
    "id": "rs",
    "encrypted_content": "seal",
    "summary": [{"type": "summary_text", "text": "hm"}],
}
CALL = {"type": "function_call", "id": "fc", "call_id": "c", "name": "math_add", "arguments": '{"a": 1}'}
SAID = {"type": "message", "phase": "final_answer", "content": [{"type": "output_text", "text": "hello"}]}
SEARCH = {"type": "web_search_call", "id": "ws"}
PARTS = (
    Reasoning(text="hm", summary=True, signature="seal", item_id="rs", origin=ORIGIN),
    Opaque(origin=ORIGIN, item=SEARCH),
    Text(text="hello", phase="final_answer"),
    ToolCall(tool_call_id="c", name="math.add", arguments={"a": 1}),
)
STREAM = [
    event("created", response={"id": "r", "model": "served", "status": "in_progress"}),
    event("output_item.added", item={"type": "reasoning", "id": "rs", "summary": []}),
    event("reasoning_summary_text.delta", delta="hm"),
    event("output_item.done", item=THOUGHT),
    event("output_item.added", 1, item=SEARCH),
    event("output_item.done", 1, item=SEARCH),
    event("output_item.added", 2, item={"type": "message", "content": []}),
    event("output_text.delta", 2, delta="hel"),
    event("output_text.delta", 2, delta="lo"),
    event("output_item.done", 2, item=SAID),
    event("output_item.added", 3, item={**CALL, "arguments": ""}),
    event("function_call_arguments.delta", 3, delta='{"a":'),
    event("function_call_arguments.delta", 3, delta=" 1}"),
    event("output_item.done", 3, item=CALL),
]
DELTAS = [
    ReasoningDelta("hm"),
    TextDelta("hel"),
    TextDelta("lo"),
    ToolCallDelta(index=0, name="math.add"),
    ToolCallDelta(index=0, arguments='{"a":'),
    ToolCallDelta(index=0, arguments=" 1}"),
]


class TestReplies:
    @pytest.mark.parametrize("output", [(THOUGHT, SEARCH, SAID, CALL), ()])
    def test_items_in_their_order(self, output: tuple[dict[str, Any], ...]) -> None:
        """Those of the last event, or, where a server leaves them out there, those that came."""
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 3},
        }
        deltas, completion = decode(*STREAM, completed(*output, usage=usage))
        assert deltas == DELTAS
        assert completion == Completion(
            message=Message(role="assistant", parts=PARTS),
            model="served",
            finish_reason=FinishReason.TOOL_CALLS,
            usage=Usage(
                input_tokens=5,
                cached_input_tokens=4,
                cache_write_tokens=1,
                output_tokens=5,
                reasoning_tokens=3,
            ),
            stop_detail="completed",
            response_id="r",
        )

    def test_items_without_deltas(self) -> None:
        done = [one for one in STREAM if one["type"].endswith("done")]
        deltas, completion = decode(*done, completed())
        assert deltas == [
            ReasoningDelta("hm"),
            TextDelta("hello"),
            ToolCallDelta(index=0, name="math.add"),
            ToolCallDelta(index=0, arguments='{"a": 1}'),
        ]
        assert completion.message.parts == PARTS

    def test_deltas_without_items(self) -> None:
        said = [one for one in STREAM if one["type"].endswith("text.delta")]
        deltas, completion = decode(*said, completed())
        assert deltas == DELTAS[:3]
        assert completion.message.text == "hello"

    @pytest.mark.parametrize(
        ("kind", "more", "ours"),
        [
            ("completed", {}, FinishReason.STOP),
            ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, FinishReason.LENGTH),
            ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, FinishReason.CONTENT_FILTER),
            ("incomplete", {}, FinishReason.LENGTH),
            ("cancelled", {}, FinishReason.CANCELLED),
        ],
    )
    def test_why_it_ended(self, kind: str, more: dict[str, Any], ours: FinishReason) -> None:
        assert decode(completed(SAID, kind=kind, **more))[1].finish_reason is ours

    def test_a_refusal_says_that_it_is_one(self) -> None:
        item = {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot"}]}
        deltas, completion = decode(event("refusal.delta", delta="I cannot"), completed(item))
        assert deltas == [TextDelta("I cannot")]
        assert completion.message.parts == (Text(text="I cannot", refusal=True),)
        assert completion.finish_reason is FinishReason.CONTENT_FILTER

    def test_sealed_thoughts_without_words(self) -> None:
        item = {"type": "reasoning", "id": "rs", "encrypted_content": "seal", "summary": []}
        (part,) = decode(completed(item))[1].message.parts
        assert part == Reasoning(
            text="", signature="seal", redacted=True, summary=True, item_id="rs", origin=ORIGIN
        )
        body = encode(user("hi"), Message(role="assistant", parts=(part,)))
        assert body["input"][1] == item

    def test_a_tool_that_the_provider_found_is_called_by_its_group(self) -> None:
        (call,) = decode(completed({**CALL, "namespace": "sums"}))[1].message.tool_calls
        assert call == ToolCall(tool_call_id="c", name="math.add", arguments={"a": 1}, namespace="sums")
        body = encode(user("hi"), Message(role="assistant", parts=(call,)), tools=(ADD,))
        assert (body["input"][1]["name"], body["input"][1]["namespace"]) == ("math_add", "sums")

    @pytest.mark.parametrize(
        ("wire", "kind"),
        [
            (
                completed(kind="failed", error={"code": "rate_limit_exceeded", "message": "slow"}),
                RateLimitedError,
            ),
            (
                completed(kind="failed", error={"code": "server_error", "message": "oh"}),
                ProviderUnavailableError,
            ),
            (completed(kind="failed"), ProviderUnavailableError),
            ({"type": "error", "code": "invalid_prompt", "message": "bad"}, ProviderRefusedError),
            ({"error": {"message": "bad", "type": "invalid_request_error"}}, ProviderRefusedError),
        ],
    )
    def test_errors(self, wire: dict[str, Any], kind: type[ModelError]) -> None:
        with pytest.raises(kind) as raised:
            DIALECT.decoder(TARGET).feed(json.dumps(wire).encode())
        assert type(raised.value) is kind
