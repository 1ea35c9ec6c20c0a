"""What every wire format is held to alike; what is its own is in the file of its name."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from agent_core.chat import ModelRequest, NamedTool
from agent_core.errors import ModelError
from agent_core.messages import File, Image, Message, Opaque, Reasoning, user
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_gateway.compat import Traits
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Dialect, Wiring
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.openai_responses import OpenAIResponses
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target

TARGET = Target(where="openai:m", model="m")
ADD = ToolSpec(name="math.add", description="Adds.", parameters={"type": "object"})
CALL = ToolCall(tool_call_id="c1", name="math.add", arguments={"a": 1})
OTHER = ToolCall(tool_call_id="c2", name="math.add", arguments={"a": 2})


@dataclass(frozen=True)
class Format:
    dialect: Dialect
    begun: dict[str, Any]
    """An event with the text `a`, after which the stream breaks off."""


FORMATS = (
    Format(OpenAIChat(), {"choices": [{"index": 0, "delta": {"content": "a"}}]}),
    Format(OpenAIResponses(), {"type": "response.output_text.delta", "output_index": 0, "delta": "a"}),
    Format(
        AnthropicMessages(),
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
    ),
    Format(Gemini(), {"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}}]}),
)


@pytest.fixture(params=FORMATS, ids=lambda one: one.dialect.name)
def wire(request: pytest.FixtureRequest) -> Format:
    return request.param


def encode(wire: Format, *messages: Message, traits: Traits | None = None, **settings: Any) -> Any:
    wiring = Wiring(model="m", stream=False, traits=traits or Traits())
    return json.loads(wire.dialect.encode(ModelRequest(messages=messages, **settings), wiring).body)


def test_a_reply_that_breaks_off(wire: Format) -> None:
    decoder = wire.dialect.decoder(TARGET)
    decoder.feed(json.dumps(wire.begun).encode())
    with pytest.raises(BrokenReplyError, match="broke off"):
        decoder.finish()


@pytest.mark.parametrize("text", [b"<html>", b"[1]", b'"a"', b"\xff\xfe", b'{"error": {"message": "no"}}'])
def test_what_is_no_event_is_an_error_and_no_crash(wire: Format, text: bytes) -> None:
    for take in ("feed", "take"):
        with pytest.raises(ModelError):
            getattr(wire.dialect.decoder(TARGET), take)(text)


def test_what_another_provider_said_to_itself_is_left_out(wire: Format) -> None:
    foreign = (
        Reasoning(text="hm", signature="seal", origin="elsewhere"),
        Opaque(origin="elsewhere", item={"x": "opaque"}),
    )
    said = encode(wire, user("hi"), Message(role="assistant", parts=(*foreign, CALL)), user("go on"))
    assert not {"seal", "opaque", "hm"} & set(texts(said))


def test_a_model_that_takes_no_sampling_is_sent_none(wire: Format) -> None:
    settings = encode(wire, user("hi"), temperature=0.5)
    assert settings.get("generationConfig", settings)["temperature"] == 0.5
    if wire.dialect.name != "gemini":  # all of whose models take it
        body = encode(wire, user("hi"), temperature=0.5, top_p=0.5, traits=Traits(sampling=False))
        assert not {"temperature", "top_p"} & {*body}


def test_what_the_provider_alone_knows_goes_beside_what_is_ours(wire: Format) -> None:
    body = encode(wire, user("hi"), tools=(ADD,), extra={"tools": [{"mine": 1}], "metadata": {"a": "b"}})
    assert len(body["tools"]) == 2
    assert body["tools"][1] == {"mine": 1}
    assert body["metadata"] == {"a": "b"}


def test_a_tool_is_named_as_the_wire_can_say_it(wire: Format) -> None:
    body = encode(wire, user("hi"), tools=(ADD,), tool_choice=NamedTool(name="math.add"))
    assert "math.add" not in set(texts(body))
    assert list(texts(body)).count("math_add") == 2, "in its specification and in the choice"


def test_pictures_and_files_that_a_tool_returned_are_shown(wire: Format) -> None:
    """In the result, or right behind the results: never between them."""
    results = (
        ToolResult(tool_call_id="c1", content="a map", attachments=(Image(data=b"png"),)),
        ToolResult(tool_call_id="c2", content="a page", attachments=(File(data=b"%PDF", name="a.pdf"),)),
    )
    body = encode(
        wire,
        user("hi"),
        Message(role="assistant", parts=(CALL, OTHER)),
        *(Message(role="tool", parts=(one,)) for one in results),
        tools=(ADD,),
    )
    said = [text for text in texts(body) if "cG5n" in text or "JVBERg==" in text or text in {"c1", "c2"}]
    assert ["JVBERg==" in one or "cG5n" in one for one in said].count(True) == 2
    assert list(texts(body)).count("a map") == 1
    if wire.dialect.name == "openai_chat":
        assert [one["role"] for one in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
        kinds = [part["type"] for part in body["messages"][-1]["content"]]
        assert kinds == ["text", "image_url", "text", "file"]


def texts(value: Any) -> Any:
    """Every text in a body, the names of fields left out."""
    if isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value
