"""Pictures of an assistant in requests: no format but Gemini's lets it show one."""

import base64
import json
from typing import Any

import pytest

from agent_core.chat import ModelRequest
from agent_core.messages import File, Image, Message, Opaque, Part, Text, user
from agent_core.tools import ToolCall, ToolResult
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Dialect, Wiring
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.openai_responses import OpenAIResponses

PICTURE = b"\x89PNG"
DRAWN = base64.b64encode(PICTURE).decode()
CALL = ToolCall(tool_call_id="c1", name="look", arguments={})
RESULT = Message(role="tool", parts=(ToolResult(tool_call_id="c1", content="dark"),))


def sent(dialect: Dialect, *messages: Message) -> Any:
    body = json.loads(dialect.encode(ModelRequest(messages=messages), Wiring(model="m")).body)
    return body.get("messages") or body.get("input") or body["contents"]


def made(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


@pytest.mark.parametrize(
    "dialect", [OpenAIChat(), AnthropicMessages(), OpenAIResponses()], ids=lambda d: d.name
)
class TestElsewhere:
    def test_they_are_shown_by_the_user(self, dialect: Dialect) -> None:
        messages = sent(
            dialect, user("Draw."), made(Text(text="Here."), Image(data=PICTURE)), user("Bluer, please.")
        )
        assistant, *rest = messages[1:]
        assert assistant == {"role": "assistant", "content": "Here."}
        assert {one["role"] for one in rest} == {"user"}
        text = json.dumps(rest)
        assert text.count(DRAWN) == 1
        assert text.index(DRAWN) < text.index("Bluer, please.")

    def test_results_stay_beside_their_calls(self, dialect: Dialect) -> None:
        messages = sent(dialect, user("Draw."), made(Image(data=PICTURE), CALL), RESULT, user("Well?"))
        text = json.dumps(messages)
        assert text.count(DRAWN) == 1
        assert text.rindex("c1") < text.index(DRAWN) < text.index("Well?")

    def test_nothing_is_said_where_there_was_only_a_picture(self, dialect: Dialect) -> None:
        messages = sent(dialect, user("Draw."), made(Image(data=PICTURE)))
        assert {one["role"] for one in messages} == {"user"}
        assert json.dumps(messages).count(DRAWN) == 1

    def test_what_was_spoken_is_left_out(self, dialect: Dialect) -> None:
        spoken = File(data=b"RIFF", media_type="audio/wav")
        messages = sent(dialect, user("Say it."), made(Text(text="Good day."), spoken), user("Again."))
        assert len(messages) == 3
        assert "data" not in json.dumps(messages)


def test_gemini_shows_its_own() -> None:
    assert sent(Gemini(), user("Draw."), made(Image(data=PICTURE)))[1] == {
        "role": "model",
        "parts": [{"inlineData": {"mimeType": "image/png", "data": DRAWN}}],
    }


def test_a_picture_goes_back_into_the_item_that_it_came_in() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}
    drawn = made(Opaque(origin="openai_responses", item=item), Image(data=PICTURE), Text(text="Here."))
    assert sent(OpenAIResponses(), user("Draw."), drawn)[1:] == [
        {**item, "result": DRAWN},
        {"role": "assistant", "content": "Here."},
    ]
