"""Every recorded exchange of the four formats, beside what a simple reader of the raw reply says that it holds.

The readers here share nothing with the dialects: plain dictionaries, one reply at a time, one function a format.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from agent_core.chat import Completion, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.errors import ModelError
from agent_core.messages import FinishReason, Reasoning, Text
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Dialect
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.openai_responses import OpenAIResponses
from agent_gateway.failures import Target
from agent_gateway.sse import SseSplitter

TARGET = Target(where="m", model="m")


@dataclass
class Said:
    """What a reply says."""

    text: str = ""
    thought: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    finish: str = ""
    prompt: int = 0
    """Tokens of every class that were read, and of those the cached and the written ones."""
    cached: int = 0
    written: int = 0
    answer: int = 0
    """Tokens of every class that were written, and of those the thoughts."""
    thoughts: int = 0


def events_of(stream: str) -> Iterator[dict[str, Any]]:
    for line in stream.splitlines():
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])


def read_chat(raw: Any) -> Said:
    said, calls = Said(), {}
    for chunk in events_of(raw) if isinstance(raw, str) else [raw]:
        for choice in chunk["choices"]:
            part = choice.get("delta") or choice.get("message") or {}
            said.text += part.get("content") or part.get("refusal") or ""
            said.thought += part.get("reasoning_content") or part.get("reasoning") or ""
            for place, call in enumerate(part.get("tool_calls") or ()):
                at = call.get("index", place)
                entry = calls.setdefault(at, ["", "", ""])
                entry[0] += call.get("id") or ""
                entry[1] += call["function"].get("name") or ""
                entry[2] += call["function"].get("arguments") or ""
            said.finish = choice.get("finish_reason") or said.finish
        if chunk.get("usage"):
            count(said, chunk["usage"], "prompt_tokens", "completion_tokens")
            hit = chunk["usage"].get("prompt_cache_hit_tokens")
            said.cached = said.cached if hit is None else hit
    said.calls = [(one, name, json.loads(text)) for one, name, text in calls.values()]
    said.finish = {"stop": "stop", "tool_calls": "tool_calls", "length": "length"}[said.finish]
    return said


def read_responses(raw: Any) -> Said:
    said = Said()
    response = list(events_of(raw))[-1]["response"] if isinstance(raw, str) else raw
    for item in response["output"]:
        if item["type"] == "message":
            said.text += "".join(part["text"] for part in item["content"])
        if item["type"] == "reasoning":
            pieces = [*item["summary"], *(item.get("content") or [])]
            said.thought += "".join(piece["text"] for piece in pieces)
        if item["type"] == "function_call":
            said.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
    assert response["status"] == "completed"
    said.finish = "tool_calls" if said.calls else "stop"
    count(said, response["usage"], "input_tokens", "output_tokens")
    return said


def count(said: Said, usage: dict[str, Any], read: str, written: str) -> None:
    said.prompt, said.answer = usage[read], usage[written]
    details = usage.get(f"{read}_details") or {}
    said.cached, said.written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    said.thoughts = (usage.get(f"{written}_details") or {}).get("reasoning_tokens") or 0


def whole_anthropic(stream: str) -> dict[str, Any]:
    """The whole reply that a stream adds up to."""
    blocks: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {"usage": {}}
    for event in events_of(stream):
        if event["type"] == "message_start":
            whole["usage"] |= event["message"]["usage"]
        if event["type"] == "content_block_start":
            blocks[event["index"]] = {**event["content_block"], "json": ""}
        if event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            for name in ("text", "thinking"):
                block[name] = block.get(name, "") + delta.get(name, "")
            block["json"] += delta.get("partial_json", "")
        if event["type"] == "message_delta":
            whole["usage"] |= event["usage"]
            whole["stop_reason"] = event["delta"]["stop_reason"]
    for block in blocks.values():
        if block["json"]:
            block["input"] = json.loads(block["json"])
    return {**whole, "content": list(blocks.values())}


def read_anthropic(raw: Any) -> Said:
    said = Said()
    raw = whole_anthropic(raw) if isinstance(raw, str) else raw
    for block in raw["content"]:
        if block["type"] == "text":
            said.text += block["text"]
        if block["type"] == "thinking":
            said.thought += block["thinking"]
        if block["type"] == "tool_use":
            said.calls.append((block["id"], block["name"], block["input"]))
    said.finish = {"end_turn": "stop", "tool_use": "tool_calls"}[raw["stop_reason"]]
    usage = raw["usage"]
    said.cached, said.written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    said.prompt = usage["input_tokens"] + said.cached + said.written
    said.answer = usage["output_tokens"]
    said.thoughts = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return said


def read_gemini(raw: Any) -> Said:
    said = Said()
    for chunk in events_of(raw) if isinstance(raw, str) else [raw]:
        candidate = chunk["candidates"][0]
        for part in candidate["content"]["parts"]:
            if part.get("thought"):
                said.thought += part["text"]
            else:
                said.text += part.get("text", "")
            if "functionCall" in part:
                call = part["functionCall"]
                said.calls.append((call.get("id", ""), call["name"], call["args"]))
        said.finish = "tool_calls" if said.calls else {"STOP": "stop"}[candidate["finishReason"]]
        usage = chunk["usageMetadata"]
        said.thoughts = usage.get("thoughtsTokenCount", 0)
        said.prompt = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
        said.answer = usage["candidatesTokenCount"] + said.thoughts
        assert said.prompt + said.answer == usage["totalTokenCount"]
    return said


FORMATS: dict[str, tuple[Dialect, Callable[[Any], Said], int]] = {
    "/chat/completions": (OpenAIChat(), read_chat, 64),
    "/responses": (OpenAIResponses(), read_responses, 31),
    "/messages": (AnthropicMessages(), read_anthropic, 123),
    "enerateContent": (Gemini(), read_gemini, 16),
}


@pytest.fixture(params=FORMATS)
def exchanges(request: pytest.FixtureRequest, recorded: list[dict[str, Any]]) -> Any:
    dialect, reader, expected = FORMATS[request.param]
    found = [one for one in recorded if one["path"].endswith(request.param)]
    assert sum(one["status"] == 200 for one in found) == expected
    return dialect, reader, found


def decoded(dialect: Dialect, one: dict[str, Any]) -> list[Any]:
    body = one["response"]
    if isinstance(body, str) and "event-stream" in one["content_type"]:
        return streamed(dialect, body.encode())
    decoder = dialect.decoder(TARGET)
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return [*decoder.take(raw), decoder.finish()]


def streamed(dialect: Dialect, body: bytes, *cuts: int) -> list[Any]:
    """The items of a stream that arrives in the pieces between `cuts`."""
    ids = iter(range(99))
    decoder = dialect.decoder(TARGET, new_id=lambda: f"new_{next(ids)}")
    splitter, items = SseSplitter(), []
    places = [0, *cuts, len(body)]
    for start, end in pairwise(places):
        for event in splitter.feed(body[start:end]):
            items += decoder.feed(event.data)
    for event in splitter.close():
        items += decoder.feed(event.data)
    return items if items and isinstance(items[-1], Completion) else [*items, decoder.finish()]


def test_each_reply_is_what_it_says(exchanges: Any) -> None:
    dialect, reader, found = exchanges
    for one in found:
        if one["status"] != 200:
            continue
        *deltas, completion = decoded(dialect, one)
        said = reader(one["response"])
        message = completion.message
        assert message.text == said.text, one["id"]
        assert "".join(part.text for part in message.parts if isinstance(part, Reasoning)) == said.thought
        calls = [(call.tool_call_id, call.name, call.arguments) for call in message.tool_calls]
        assert [(name, args) for _, name, args in calls] == [(name, args) for _, name, args in said.calls]
        assert all(
            ours == theirs or not theirs for (ours, *_), (theirs, *_) in zip(calls, said.calls, strict=True)
        )
        assert completion.finish_reason == FinishReason(said.finish), one["id"]
        usage = completion.usage
        assert usage.prompt_tokens == said.prompt
        assert (usage.cached_input_tokens, usage.cache_write_tokens) == (said.cached, said.written)
        assert usage.output_tokens + usage.reasoning_tokens == said.answer
        assert usage.reasoning_tokens == said.thoughts
        check_deltas(deltas, completion)


def check_deltas(deltas: list[Any], completion: Completion) -> None:
    """The deltas tell the same as the message."""
    message = completion.message
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == message.text
    thoughts = "".join(one.text for one in deltas if isinstance(one, ReasoningDelta))
    assert thoughts == "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    arguments: dict[int, str] = {}
    names: dict[int, str] = {}
    for one in deltas:
        if isinstance(one, ToolCallDelta):
            arguments[one.index] = arguments.get(one.index, "") + one.arguments
            names[one.index] = names.get(one.index) or one.name
    assert [names[at] for at in sorted(names)] == [call.name for call in message.tool_calls]
    told = [json.loads(arguments[at] or "{}") for at in sorted(arguments)]
    assert told == [call.arguments for call in message.tool_calls]


def test_a_stream_is_the_same_however_it_is_cut(exchanges: Any) -> None:
    dialect, _, found = exchanges
    chance = random.Random(7)
    for one in found:
        if "event-stream" not in one["content_type"]:
            continue
        body = one["response"].encode()
        whole = streamed(dialect, body)
        assert streamed(dialect, body, *range(1, len(body))) == whole
        for _ in range(5):
            cuts = sorted(chance.sample(range(len(body)), k=chance.randint(1, 40)))
            assert streamed(dialect, body, *cuts) == whole
        assert streamed(dialect, body.replace(b"\n", b"\r\n")) == whole
        noisy = body.replace(b"data:", b": alive\ndata:")
        assert streamed(dialect, noisy, *range(7, len(noisy), 13)) == whole
        assert streamed(dialect, body.replace(b"data: [DONE]\n\n", b"")) == whole


def test_a_whole_reply_arrives_as_a_stream_too(exchanges: Any) -> None:
    """A server that does not stream, and one that sends the whole reply as the only event."""
    dialect, _, found = exchanges
    if not isinstance(dialect, OpenAIChat | Gemini):
        pytest.skip("the events of this format have another shape than its replies")
    for one in found:
        if one["status"] == 200 and isinstance(one["response"], dict):
            body = b"data: " + json.dumps(one["response"]).encode() + b"\n\n"
            assert streamed(dialect, body)[-1].message.text == decoded(dialect, one)[-1].message.text


def test_each_error_is_told_in_the_providers_words(exchanges: Any) -> None:
    dialect, _, found = exchanges
    for one in found:
        if one["status"] == 200:
            continue
        body = one["response"]
        error = (json.loads(body) if isinstance(body, str) else body)["error"]
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        with pytest.raises(ModelError, match=error["message"][:30].replace("(", r"\(")):
            dialect.decoder(TARGET).take(raw)
        with pytest.raises(ModelError, match=error["message"][:30].replace("(", r"\(")):
            dialect.decoder(TARGET).feed(raw)


def test_what_must_go_back_is_kept(exchanges: Any) -> None:
    """Seals, and blocks that only the provider understands: as many as the raw reply has."""
    dialect, _, found = exchanges
    for one in found:
        if one["status"] != 200 or isinstance(one["response"], str):
            continue
        body = json.dumps(one["response"])
        parts = decoded(dialect, one)[-1].message.parts
        kept = json.dumps([getattr(part, "signature", "") for part in parts])
        for seal in seals(one["response"]):
            assert json.dumps(seal) in kept
        assert all(isinstance(part, Text) is False or part.text or part.signature for part in parts), body


def seals(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            redacted = key == "data" and value.get("type") == "redacted_thinking"
            sealed = key == "encrypted_content" and value.get("type") == "reasoning"
            if inner and (key in {"signature", "thoughtSignature"} or redacted or sealed):
                yield inner
            else:
                yield from seals(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from seals(inner)
