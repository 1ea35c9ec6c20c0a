import json
from typing import Any

import pytest

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Grammar,
    JsonSchema,
    ModelRequest,
    NamedTool,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.errors import ContextTooLongError, ModelError
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
from agent_gateway.compat import COMPATS, LLAMA_CPP, OPENAI, Thinking, Traits
from agent_gateway.dialects.chat_request import encode_request
from agent_gateway.dialects.openai_chat import StreamDecoder, decode_reply
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.errors import ConstraintUnsupportedError, ProviderRefusedError, ProviderUnavailableError
from agent_gateway.failures import Target

TARGET = Target(where="openai:m", model="m", context_tokens=100)
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
ADD = ToolSpec(name="math.add", description="Adds.", parameters={"type": "object"})


def decode(*chunks: Any, done: bool = True) -> tuple[list[Any], Completion]:
    ids = iter(f"new_{n}" for n in range(9))
    decoder = StreamDecoder(TARGET, names=wire_names([ADD]), new_id=lambda: next(ids))
    items = [item for chunk in chunks for item in decoder.feed(json.dumps(chunk).encode())]
    items += decoder.feed(b"[DONE]") if done else [decoder.finish()]
    last = items[-1]
    assert isinstance(last, Completion)
    assert [isinstance(item, Completion) for item in items] == [False] * (len(items) - 1) + [True]
    return items[:-1], last


def chunk(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"id": "x", "model": "served", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def calls(*pieces: dict[str, Any]) -> list[ToolCall]:
    _, completion = decode(*(chunk(tool_calls=[piece]) for piece in pieces), chunk("tool_calls"))
    return list(completion.message.tool_calls)


class TestRequests:
    def test_messages(self) -> None:
        call = ToolCall(tool_call_id="c1", name="math.add", arguments={"a": 1})
        broken = ToolCall(tool_call_id="c2", name="gone.tool", arguments={}, malformed="{a:")
        request = ModelRequest(
            messages=(
                system("be kind"),
                user("hi"),
                Message(role="assistant", parts=(Reasoning(text="hm"), Text(text="so"), call, broken)),
                Message(
                    role="tool",
                    parts=(
                        ToolResult(tool_call_id="c1", content="2"),
                        ToolResult(tool_call_id="c2", content="no JSON", error="invalid_arguments"),
                        Text(text="think again"),
                    ),
                ),
                assistant("2"),
            ),
            tools=(ADD,),
        )
        body = encode_request(request, model="m")
        assert body["messages"] == [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "so",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "math_add", "arguments": '{"a":1}'},
                    },
                    {
                        "id": "c2",
                        "type": "function",
                        "function": {"name": "gone_tool", "arguments": '{"malformed":"{a:"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "tool", "tool_call_id": "c2", "content": "no JSON"},
            {"role": "user", "content": "think again"},
            {"role": "assistant", "content": "2"},
        ]
        assert body["tools"] == [
            {
                "type": "function",
                "function": {"name": "math_add", "description": "Adds.", "parameters": {"type": "object"}},
            }
        ]
        assert body["tool_choice"] == "auto"

    def test_settings_go_where_the_server_wants_them(self) -> None:
        request = ModelRequest(
            messages=(user("hi"),), max_output_tokens=5, temperature=0.0, stop=("x",), repeat_penalty=1.1
        )
        plain = {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.0,
            "stop": ["x"],
        }
        assert encode_request(request, model="m", compat=OPENAI, stream=False) == {
            **plain,
            "max_completion_tokens": 5,
        }
        assert encode_request(request, model="m", compat=LLAMA_CPP) == {
            **plain,
            "max_tokens": 5,
            "repeat_penalty": 1.1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    @pytest.mark.parametrize(
        ("server", "constraint", "expected"),
        [
            ("llama.cpp", Choice(values=("a", 'b"\n')), {"grammar": 'root ::= "a" | "b\\"\\x0A"'}),
            ("llama.cpp", Grammar(gbnf="root ::= [0-9]"), {"grammar": "root ::= [0-9]"}),
            ("vllm", Choice(values=("a", "b")), {"structured_outputs": {"choice": ["a", "b"]}}),
            ("vllm", Grammar(gbnf="g"), {"structured_outputs": {"grammar": "g"}}),
            ("vllm<0.12", JsonSchema(schema=CLOSED), {"guided_json": CLOSED}),
            ("vllm<0.12", Choice(values=("a",)), {"guided_choice": ["a"]}),
            (
                "openai",
                JsonSchema(schema=CLOSED),
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "reply", "schema": CLOSED, "strict": True},
                    }
                },
            ),
            (
                "openai",
                JsonSchema(schema={"type": "object"}),
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "reply", "schema": {"type": "object"}},
                    }
                },
            ),
        ],
    )
    def test_constraints(self, server: str, constraint: Constraint, expected: dict[str, object]) -> None:
        request = ModelRequest(messages=(user("hi"),), constraint=constraint)
        body = encode_request(request, model="m", compat=COMPATS[server], stream=False)
        assert {key: body[key] for key in body if key not in {"model", "messages"}} == expected

    @pytest.mark.parametrize(
        ("server", "constraint"),
        [
            ("openai", Choice(values=("a",))),
            ("openai", Grammar(gbnf="g")),
            ("compatible", Grammar(gbnf="g")),
            ("deepseek", JsonSchema(schema=CLOSED)),
        ],
    )
    def test_a_constraint_that_the_server_has_not_is_an_error(
        self, server: str, constraint: Constraint
    ) -> None:
        with pytest.raises(ConstraintUnsupportedError, match=server):
            encode_request(
                ModelRequest(messages=(user("hi"),), constraint=constraint), model="m", compat=COMPATS[server]
            )

    def test_wire_names_are_valid_and_lead_back(self) -> None:
        names = ["a.b", "a_b", "ä" * 80, "a-b"]
        tools = [ToolSpec(name=name, description="", parameters={}) for name in names]
        wire = wire_names(tools)
        assert list(wire.values()) == names
        assert all(
            (len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum()) or set(name) == {"_"}
            for name in wire
        )


class TestStreams:
    def test_text_reasoning_and_usage(self) -> None:
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
        deltas, completion = decode(
            chunk(role="assistant", content=None),
            chunk(reasoning_content="so"),
            chunk(content="he"),
            chunk(content="llo"),
            chunk("stop"),
            {"choices": [], "usage": usage},
        )
        assert deltas == [ReasoningDelta("so"), TextDelta("he"), TextDelta("llo")]
        assert completion == Completion(
            message=Message(role="assistant", parts=(Reasoning(text="so"), Text(text="hello"))),
            model="served",
            usage=Usage(input_tokens=6, cached_input_tokens=4, output_tokens=5, reasoning_tokens=3),
            stop_detail="stop",
            response_id="x",
        )

    @pytest.mark.parametrize(
        "odd",
        [
            {"choices": [{"index": 0, "delta": None}]},
            {"choices": None},
            {"choices": []},
            {"choices": [{"delta": {"content": None, "tool_calls": None}}]},
            {"choices": [{"index": 1, "delta": {"content": "another answer"}}]},
            {"unknown": 1},
            {"error": None, "choices": []},
        ],
    )
    def test_odd_chunks_add_nothing(self, odd: dict[str, Any]) -> None:
        deltas, completion = decode(odd, chunk(content="a"), odd, chunk("stop"), odd)
        assert (deltas, completion.message.text) == ([TextDelta("a")], "a")

    def test_without_done(self) -> None:
        assert decode(chunk(content="a"), chunk("length"), done=False)[1].finish_reason is FinishReason.LENGTH
        with pytest.raises(ProviderUnavailableError, match="broke off"):
            decode(chunk(content="a"), done=False)

    @pytest.mark.parametrize(
        ("wire", "ours"),
        [
            ("stop", FinishReason.STOP),
            ("length", FinishReason.LENGTH),
            ("content_filter", FinishReason.CONTENT_FILTER),
            ("abort", FinishReason.CANCELLED),
            ("brand_new_reason", FinishReason.STOP),
            ("tool_calls", FinishReason.STOP),
        ],
    )
    def test_finish_reasons_without_a_call(self, wire: str, ours: FinishReason) -> None:
        assert decode(chunk(content="a"), chunk(wire))[1].finish_reason is ours

    def test_stop_with_a_call_is_tool_calls(self) -> None:
        piece = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
        assert decode(chunk(tool_calls=[piece]), chunk("stop"))[1].finish_reason is FinishReason.TOOL_CALLS

    def test_a_refusal_is_text_that_was_filtered(self) -> None:
        _, completion = decode(chunk(refusal="I "), chunk(refusal="cannot"), chunk("stop"))
        assert (completion.message.text, completion.finish_reason) == (
            "I cannot",
            FinishReason.CONTENT_FILTER,
        )

    def test_content_in_parts(self) -> None:
        parts = [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "a"},
        ]
        assert decode(chunk(content=parts), chunk("stop"))[0] == [ReasoningDelta("hm"), TextDelta("a")]

    def test_usage_of_groq_and_deepseek(self) -> None:
        groq = {"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}, "choices": []}
        assert decode(chunk("stop"), groq)[1].usage == Usage(input_tokens=3, output_tokens=1)
        deep = {"usage": {"prompt_tokens": 3, "prompt_cache_hit_tokens": 2, "completion_tokens": None}}
        assert decode(chunk("stop"), deep)[1].usage == Usage(input_tokens=1, cached_input_tokens=2)
        assert decode(chunk("stop"))[1].usage == Usage()

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (b'{"error": {"message": "slow down", "type": "rate_limit_error"}}', ProviderUnavailableError),
            (b'{"error": {"message": "bad", "code": 400}}', ProviderRefusedError),
            (b'{"error": "boom"}', ProviderUnavailableError),
            (b'{"error": {"code": "context_length_exceeded", "message": "too long"}}', ContextTooLongError),
            (b"<html>", ProviderUnavailableError),
            (b"[1]", ProviderUnavailableError),
        ],
    )
    def test_an_error_inside_the_stream(self, event: bytes, kind: type[ModelError]) -> None:
        decoder = StreamDecoder(TARGET)
        decoder.feed(json.dumps(chunk(content="a")).encode())
        with pytest.raises(kind):
            decoder.feed(event)


class TestToolCalls:
    def test_pieces_and_names(self) -> None:
        deltas, completion = decode(
            chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "math_add", "arguments": ""}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
            chunk("tool_calls"),
        )
        assert deltas[0] == ToolCallDelta(index=0, name="math.add")
        assert deltas[2] == ToolCallDelta(index=0, arguments=" 1}")
        assert completion.message.tool_calls == (
            ToolCall(tool_call_id="c", name="math.add", arguments={"a": 1}),
        )

    @pytest.mark.parametrize("index", ["missing", "null", "zero", "from one", "right"])
    @pytest.mark.parametrize("ids", [True, False])
    def test_two_calls_however_they_are_numbered(self, index: str, ids: bool) -> None:
        pieces: list[dict[str, Any]] = []
        for n in range(2):
            numbers: dict[str, dict[str, Any]] = {
                "missing": {},
                "null": {"index": None},
                "zero": {"index": 0},
                "from one": {"index": n + 1},
                "right": {"index": n},
            }
            number = numbers[index]
            name: dict[str, Any] = {"id": f"c{n}"} if ids else {}
            pieces.append({**number, **name, "function": {"name": f"f{n}", "arguments": ""}})
            pieces += [{**number, "function": {"arguments": text}} for text in ('{"n":', f"{n}}}")]
        expected = [(f"c{n}" if ids else f"new_{n}", f"f{n}", {"n": n}) for n in range(2)]
        assert [(c.tool_call_id, c.name, c.arguments) for c in calls(*pieces)] == expected

    def test_repeated_names_and_ids_are_one_call(self) -> None:
        pieces = [
            {"index": 0, "id": "c", "function": {"name": "f", "arguments": text}}
            for text in ('{"a"', ": 1", "}")
        ]
        assert calls(*pieces) == [ToolCall(tool_call_id="c", name="f", arguments={"a": 1})]

    def test_a_fresh_id_without_a_name_is_the_same_call(self) -> None:
        pieces = [
            {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": '}},
            {"index": 0, "id": "c2", "function": {"arguments": "1}"}},
        ]
        assert calls(*pieces) == [ToolCall(tool_call_id="c1", name="f", arguments={"a": 1})]

    def test_whole_calls_without_numbers_and_with_one_id(self) -> None:
        pieces = [{"id": "", "function": {"name": "f", "arguments": {"n": n}}} for n in range(3)]
        assert [(c.tool_call_id, c.arguments) for c in calls(*pieces)] == [
            (f"new_{n}", {"n": n}) for n in range(3)
        ]

    @pytest.mark.parametrize("text", ["[1]", '"a"', "{a: 1}", '{"a": 1', "null"])
    def test_arguments_that_are_no_object_are_malformed(self, text: str) -> None:
        (call,) = calls({"index": 0, "id": "c", "function": {"name": "f", "arguments": text}})
        assert (call.malformed, call.arguments) == (text, {})

    @pytest.mark.parametrize("text", ["", " ", None, "{}"])
    def test_no_arguments(self, text: str | None) -> None:
        (call,) = calls({"index": 0, "id": "c", "function": {"name": "f", "arguments": text}})
        assert (call.malformed, call.arguments) == ("", {})

    def test_the_old_function_call(self) -> None:
        said = {"role": "assistant", "function_call": {"name": "f", "arguments": '{"a": 1}'}}
        body = {"choices": [{"message": said, "finish_reason": "function_call"}]}
        completion = decode_reply(json.dumps(body).encode(), TARGET)
        assert completion.finish_reason is FinishReason.TOOL_CALLS
        assert completion.message.tool_calls[0].arguments == {"a": 1}
        assert completion.message.tool_calls[0].tool_call_id


class TestMore:
    def test_images_and_files(self) -> None:
        parts = (
            Text(text="look"),
            Image(data=b"png", detail="low"),
            Image(url="https://h/a.png"),
            File(data=b"%PDF", name="a.pdf"),
            File(file_id="f"),
            File(data=b"wave", media_type="audio/x-wav"),
        )
        body: Any = encode_request(ModelRequest(messages=(Message(role="user", parts=parts),)), model="m")
        assert body["messages"][0]["content"] == [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "input_audio", "input_audio": {"data": "d2F2ZQ==", "format": "wav"}},
        ]

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            (
                {"tool_choice": NamedTool(name="math.add")},
                {"tool_choice": {"type": "function", "function": {"name": "math_add"}}},
            ),
            ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
            ({"top_p": 0.5, "seed": 7}, {"top_p": 0.5, "seed": 7}),
            ({"effort": "max"}, {"reasoning_effort": "high"}),
            ({"reasoning_tokens": 3_000}, {"reasoning_effort": "low"}),
            ({"extra": {"service_tier": "flex"}}, {"service_tier": "flex"}),
        ],
    )
    def test_settings(self, settings: dict[str, Any], expected: dict[str, Any]) -> None:
        request = ModelRequest(messages=(user("hi"),), tools=(ADD,), **settings)
        body = encode_request(request, model="m", traits=Traits(thinking=Thinking.EFFORT))
        assert {name: body.get(name) for name in expected} == expected

    def test_reasoning_goes_back_where_the_server_wants_it(self) -> None:
        call = ToolCall(tool_call_id="c", name="f", arguments={}, signature="seal")
        thought, kept = Reasoning(text="hm"), Opaque(origin="openai_chat", item={"reasoning_details": [1]})
        request = ModelRequest(messages=(Message(role="assistant", parts=(thought, kept, call)),))
        fields = {}
        for server in ("openai", "deepseek", "groq", "openrouter"):
            body: Any = encode_request(request, model="m", compat=COMPATS[server])
            fields[server] = {*body["messages"][0]} - {"role", "content", "tool_calls"}
            google = body["messages"][0]["tool_calls"][0]["extra_content"]["google"]
            assert google == {"thought_signature": "seal"}
        assert fields == {
            "openai": set(),
            "deepseek": {"reasoning_content"},
            "groq": {"reasoning"},
            "openrouter": {"reasoning", "reasoning_details"},
        }
        bare = ModelRequest(messages=(Message(role="assistant", parts=(call,)),))
        body = encode_request(bare, model="m", compat=COMPATS["deepseek"])
        assert body["messages"][0]["reasoning_content"] == ""

    def test_reasoning_details_are_put_together(self) -> None:
        piece = {"type": "reasoning.text", "index": 0}
        _, completion = decode(
            chunk(reasoning="h", reasoning_details=[{**piece, "text": "h"}]),
            chunk(reasoning="m", reasoning_details=[{**piece, "text": "m"}]),
            chunk(reasoning_details=[{**piece, "signature": "seal"}]),
            chunk(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "x"}]),
            chunk("stop"),
        )
        assert completion.message.parts == (
            Reasoning(text="hm"),
            Opaque(
                origin="openai_chat",
                item={
                    "reasoning_details": [
                        {**piece, "text": "hm", "signature": "seal"},
                        {"type": "reasoning.encrypted", "index": 1, "data": "x"},
                    ]
                },
            ),
        )

    def test_the_seal_of_a_call(self) -> None:
        piece = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
        sealed = {**piece, "extra_content": {"google": {"thought_signature": "seal"}}}
        assert [call.signature for call in calls(sealed)] == ["seal"]

    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            ({"prompt_tokens": 3.0, "completion_tokens": 2.0}, Usage(input_tokens=3, output_tokens=2)),
            (
                {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}},
                Usage(input_tokens=3, cached_input_tokens=4, cache_write_tokens=2),
            ),
            (  # xAI: the thoughts are not in the completion
                {
                    "prompt_tokens": 5,
                    "completion_tokens": 10,
                    "total_tokens": 22,
                    "completion_tokens_details": {"reasoning_tokens": 7},
                },
                Usage(input_tokens=5, output_tokens=10, reasoning_tokens=7),
            ),
            ({"prompt_tokens": 1, "cost": 0.5}, Usage(input_tokens=1, cost_usd=0.5)),
            ({"prompt_tokens": 1, "cost": {"total": 1}}, Usage(input_tokens=1)),
        ],
    )
    def test_usage_as_each_server_counts_it(self, usage: dict[str, Any], expected: Usage) -> None:
        assert decode(chunk("stop"), {"choices": [], "usage": usage})[1].usage == expected
        assert decode({"choices": [{"finish_reason": "stop", "usage": usage}]})[1].usage == expected

    def test_an_error_beside_the_choice(self) -> None:
        choice = {
            "delta": {"content": ""},
            "finish_reason": "error",
            "error": {"code": 502, "message": "upstream"},
        }
        with pytest.raises(ProviderUnavailableError, match="upstream"):
            decode({"choices": [choice]})

    def test_events_without_empty_lines_between_them(self) -> None:
        decoder = StreamDecoder(TARGET)
        lines = [json.dumps(one).encode() for one in (chunk(content="a"), chunk(content="b"), chunk("stop"))]
        assert decoder.feed(b"\n".join(lines)) == [TextDelta("a"), TextDelta("b")]
        assert decoder.finish().message.text == "ab"
