import json
from typing import Any

import pytest

from agent_core.chat import (
    Choice,
    Completion,
    Grammar,
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
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.errors import BrokenReplyError, ConstraintUnsupportedError, RateLimitedError
from agent_gateway.failures import Target

DIALECT = Gemini()
TARGET = Target(where="gemini:m", model="m")
ADD = ToolSpec(name="math.add", description="Adds.", parameters={"type": "object"})


def encode(*messages: Message, traits: Traits | None = None, **settings: Any) -> dict[str, Any]:
    wiring = Wiring(model="m", stream=False, traits=traits or Traits())
    return json.loads(DIALECT.encode(ModelRequest(messages=messages, **settings), wiring).body)


class TestRequests:
    @pytest.mark.parametrize(
        ("model", "stream", "path"),
        [
            ("gemini-2.5-flash", True, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
            ("gemini-2.5-flash", False, "/models/gemini-2.5-flash:generateContent"),
            ("tunedModels/mine", False, "/tunedModels/mine:generateContent"),
        ],
    )
    def test_the_address(self, model: str, stream: bool, path: str) -> None:
        request = ModelRequest(messages=(user("hi"),))
        assert DIALECT.encode(request, Wiring(model=model, stream=stream)).path == path
        assert DIALECT.headers("k") == {"x-goog-api-key": "k"}

    def test_a_conversation(self) -> None:
        call = ToolCall(tool_call_id="c1", name="math.add", arguments={"a": 1}, signature="seal")
        other = ToolCall(tool_call_id="c2", name="gone", arguments={}, malformed="{a:")
        body = encode(
            system("be kind"),
            user("hi"),
            Message(
                role="assistant",
                parts=(
                    Reasoning(text="hm", signature="s", origin="gemini"),
                    Reasoning(text="hm", signature="s", origin="other"),
                    Text(text="so", signature="t"),
                    Opaque(origin="gemini", item={"executableCode": {}}),
                    call,
                    other,
                ),
            ),
            Message(
                role="tool",
                parts=(
                    ToolResult(tool_call_id="c1", content="2"),
                    ToolResult(tool_call_id="c2", content="no JSON", error="invalid_arguments"),
                ),
            ),
            user("think again"),
            assistant("2"),
            tools=(ADD,),
        )
        assert body["systemInstruction"] == {"parts": [{"text": "be kind"}]}
        assert body["contents"] == [
            {"role": "user", "parts": [{"text": "hi"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "s"},
                    {"text": "so", "thoughtSignature": "t"},
                    {"executableCode": {}},
                    {
                        "functionCall": {"id": "c1", "name": "math_add", "args": {"a": 1}},
                        "thoughtSignature": "seal",
                    },
                    {"functionCall": {"id": "c2", "name": "gone", "args": {"malformed": "{a:"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "math_add", "response": {"output": "2"}}},
                    {"functionResponse": {"id": "c2", "name": "gone", "response": {"error": "no JSON"}}},
                    {"text": "think again"},
                ],
            },
            {"role": "model", "parts": [{"text": "2"}]},
        ]
        declared = {"name": "math_add", "description": "Adds.", "parametersJsonSchema": {"type": "object"}}
        assert body["tools"] == [{"functionDeclarations": [declared]}]

    def test_a_call_that_another_model_made_is_let_through(self) -> None:
        calls = tuple(ToolCall(tool_call_id=f"c{n}", name="f", arguments={}) for n in range(2))
        message = Message(role="assistant", parts=calls)
        seals = [
            part.get("thoughtSignature")
            for part in encode(user("a"), message, traits=Traits(sealed_calls=True))["contents"][1]["parts"]
        ]
        assert seals == ["c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=", None]
        assert "thoughtSignature" not in json.dumps(encode(user("a"), message))

    @pytest.mark.parametrize(
        ("part", "block"),
        [
            (Image(data=b"png"), {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}),
            (
                Image(url="https://h/a.png"),
                {"fileData": {"mimeType": "image/png", "fileUri": "https://h/a.png"}},
            ),
            (File(file_id="files/1"), {"fileData": {"mimeType": "application/pdf", "fileUri": "files/1"}}),
        ],
    )
    def test_media(self, part: Any, block: dict[str, Any]) -> None:
        body = encode(Message(role="user", parts=(part, Text(text="look"))))
        assert body["contents"][0]["parts"] == [block, {"text": "look"}]

    @pytest.mark.parametrize(
        ("choice", "calling"),
        [
            ("auto", {"mode": "AUTO"}),
            ("required", {"mode": "ANY"}),
            ("none", {"mode": "NONE"}),
            (NamedTool(name="math.add"), {"mode": "ANY", "allowedFunctionNames": ["math_add"]}),
        ],
    )
    def test_tool_choice(self, choice: Any, calling: dict[str, Any]) -> None:
        body = encode(user("hi"), tools=(ADD,), tool_choice=choice)
        assert body["toolConfig"] == {"functionCallingConfig": calling}

    @pytest.mark.parametrize(
        ("settings", "config"),
        [
            ({}, None),
            (
                {
                    "max_output_tokens": 5,
                    "temperature": 0.0,
                    "top_p": 0.5,
                    "top_k": 3,
                    "seed": 1,
                    "stop": ("x",),
                },
                {
                    "maxOutputTokens": 5,
                    "temperature": 0.0,
                    "topP": 0.5,
                    "topK": 3,
                    "seed": 1,
                    "stopSequences": ["x"],
                },
            ),
            (
                {"constraint": JsonSchema(schema={"type": "object"})},
                {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
            ),
            (
                {"constraint": Choice(values=("a", "b"))},
                {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a", "b"]}},
            ),
            (
                {"effort": "low", "traits": Traits(thinking=Thinking.BUDGET)},
                {"thinkingConfig": {"thinkingBudget": 2_048, "includeThoughts": True}},
            ),
            (
                {"effort": "max", "traits": Traits(thinking=Thinking.EFFORT)},
                {"thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True}},
            ),
            ({"effort": "low"}, None),
        ],
    )
    def test_settings(self, settings: dict[str, Any], config: Any) -> None:
        assert encode(user("hi"), **settings).get("generationConfig") == config

    def test_there_are_no_grammars(self) -> None:
        with pytest.raises(ConstraintUnsupportedError):
            encode(user("hi"), constraint=Grammar(gbnf="g"))


def chunk(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": "served", "responseId": "r", **more}


def decode(*chunks: dict[str, Any]) -> tuple[list[Any], Completion]:
    decoder = DIALECT.decoder(TARGET, names={"math_add": "math.add"}, new_id=lambda: "new")
    items = [item for one in chunks for item in decoder.feed(json.dumps(one).encode())]
    return items, decoder.finish()


class TestReplies:
    def test_parts_in_their_order(self) -> None:
        deltas, completion = decode(
            chunk({"text": "h", "thought": True}),
            chunk({"text": "m", "thought": True}),
            chunk({"text": "a"}),
            chunk({"text": "b", "thoughtSignature": "seal"}),
            chunk({"text": "c"}),
            chunk(
                {"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}
            ),
            chunk({"functionCall": {"name": "math_add", "args": {"a": 1}}, "thoughtSignature": "s2"}),
            chunk(
                finish="STOP",
                usageMetadata={
                    "promptTokenCount": 10,
                    "cachedContentTokenCount": 4,
                    "toolUsePromptTokenCount": 2,
                    "candidatesTokenCount": 5,
                    "thoughtsTokenCount": 3,
                },
            ),
        )
        assert deltas == [
            ReasoningDelta("h"),
            ReasoningDelta("m"),
            TextDelta("a"),
            TextDelta("b"),
            TextDelta("c"),
            ToolCallDelta(index=0, name="math.add", arguments='{"a":1}'),
        ]
        assert completion.message.parts == (
            Reasoning(text="hm", origin="gemini"),
            Text(text="ab", signature="seal"),
            Text(text="c"),
            Opaque(origin="gemini", item={"executableCode": {"code": "1"}}),
            Image(data=b"png"),
            ToolCall(tool_call_id="new", name="math.add", arguments={"a": 1}, signature="s2"),
        )
        assert completion.finish_reason is FinishReason.TOOL_CALLS
        assert completion.usage == Usage(
            input_tokens=8, cached_input_tokens=4, output_tokens=5, reasoning_tokens=3
        )

    @pytest.mark.parametrize(
        ("wire", "ours"),
        [
            ("STOP", FinishReason.STOP),
            ("MAX_TOKENS", FinishReason.LENGTH),
            ("SAFETY", FinishReason.CONTENT_FILTER),
            ("RECITATION", FinishReason.CONTENT_FILTER),
            ("MALFORMED_FUNCTION_CALL", FinishReason.ERROR),
            ("BRAND_NEW", FinishReason.ERROR),
        ],
    )
    def test_finish_reasons(self, wire: str, ours: FinishReason) -> None:
        completion = decode(chunk({"text": "a"}, finish=wire))[1]
        assert (completion.finish_reason, completion.stop_detail) == (ours, wire)

    def test_a_prompt_that_is_blocked(self) -> None:
        _, completion = decode(
            {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}}
        )
        assert (completion.finish_reason, completion.message.parts) == (FinishReason.CONTENT_FILTER, ())

    def test_two_calls_of_one_name_have_two_ids(self) -> None:
        ids = iter("xy")
        decoder = DIALECT.decoder(TARGET, new_id=lambda: next(ids))
        calls = [{"functionCall": {"name": "f", "args": None}}, {"functionCall": {"name": "f"}}]
        decoder.take(json.dumps(chunk(*calls, finish="STOP")).encode())
        assert [call.tool_call_id for call in decoder.finish().message.tool_calls] == ["x", "y"]

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (
                b'[{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}]',
                ModelError,
            ),
            (
                b'{"error": {"code": 429, "message": "q", "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}',
                RateLimitedError,
            ),
            (b"<html>", BrokenReplyError),
        ],
    )
    def test_errors(self, event: bytes, kind: type[ModelError]) -> None:
        with pytest.raises(kind) as raised:
            DIALECT.decoder(TARGET).feed(event)
        assert not isinstance(raised.value, RateLimitedError) or raised.value.retry_after_s == 34.0
