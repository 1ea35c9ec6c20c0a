"""Replies as some servers and models write them that the recordings lack."""

import base64
import json
from typing import Any

import pytest

from agent_core.chat import Completion, TextDelta
from agent_core.messages import File, FinishReason, Image, Opaque, Text, Usage
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Dialect
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.openai_responses import OpenAIResponses
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target

TARGET = Target(where="a:m", model="m")
PICTURE = b"\x89PNG and more"
DRAWN = base64.b64encode(PICTURE).decode()


def whole(dialect: Dialect, reply: dict[str, Any]) -> Completion:
    decoder = dialect.decoder(TARGET)
    decoder.take(json.dumps(reply).encode())
    return decoder.finish()


def streamed(dialect: Dialect, *chunks: dict[str, Any]) -> tuple[str, Completion]:
    """The text as it came, and the completion."""
    decoder = dialect.decoder(TARGET)
    items = [item for one in chunks for item in decoder.feed(json.dumps(one).encode())]
    shown = "".join(item.text for item in items if isinstance(item, TextDelta))
    last = items[-1] if items else None
    return shown, last if isinstance(last, Completion) else decoder.finish()


def chat(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "message": message}]}


class TestChat:
    def test_json_that_comes_as_an_object_is_text(self) -> None:
        reply = whole(OpenAIChat(), chat(content={"name": "Ada", "born": 1815}))
        assert json.loads(reply.message.text) == {"name": "Ada", "born": 1815}

    def test_a_whole_message_needs_no_finish_reason(self) -> None:
        reply = whole(OpenAIChat(), chat(None, content="Paris"))
        assert (reply.message.text, reply.finish_reason) == ("Paris", FinishReason.STOP)

    def test_a_stream_needs_its_end(self) -> None:
        with pytest.raises(BrokenReplyError):
            streamed(OpenAIChat(), {"choices": [{"index": 0, "delta": {"content": "Pa"}}]})

    def test_a_reply_without_an_answer_is_broken(self) -> None:
        with pytest.raises(BrokenReplyError):
            whole(OpenAIChat(), {"method": "POST"})

    @pytest.mark.parametrize(
        ("wire", "ours"),
        [
            ("STOP", FinishReason.STOP),
            ("MAX_TOKENS", FinishReason.LENGTH),
            ("content_filter: PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
            ("insufficient_system_resource", FinishReason.ERROR),
        ],
    )
    def test_finish_reasons_of_other_servers(self, wire: str, ours: FinishReason) -> None:
        reply = whole(OpenAIChat(), chat(wire, content="a"))
        assert (reply.finish_reason, reply.stop_detail) == (ours, wire)

    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            (  # thoughts that only the total knows of
                {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
                Usage(input_tokens=35, output_tokens=12, reasoning_tokens=62),
            ),
            (
                {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 40},
                Usage(input_tokens=35, output_tokens=12),
            ),
            (
                {
                    "prompt_tokens": 1,
                    "completion_tokens": 2,
                    "cost": {"total_cost": 0.25, "request_cost": 0.2},
                },
                Usage(input_tokens=1, output_tokens=2, cost_usd=0.25),
            ),
            (
                {"prompt_tokens": 1, "completion_tokens": 2, "cost_in_usd_ticks": 37_756_000},
                Usage(input_tokens=1, output_tokens=2, cost_usd=0.0037756),
            ),
        ],
    )
    def test_usage(self, usage: dict[str, Any], expected: Usage) -> None:
        assert whole(OpenAIChat(), {**chat(content="a"), "usage": usage}).usage == expected

    def test_pictures_beside_the_text(self) -> None:
        images = [
            {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{DRAWN}"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}},
            {"type": "image_url"},
            None,
        ]
        expected = (
            Text(text="Here."),
            Image(data=PICTURE, media_type="image/webp"),
            Image(url="https://a.example/b.png"),
        )
        assert whole(OpenAIChat(), chat(content="Here.", images=images)).message.parts == expected
        deltas = ({"content": "Here."}, {"content": "", "images": images[:1]}, {"images": images[1:]})
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        assert streamed(OpenAIChat(), *chunks, end)[1].message.parts == expected

    def test_the_words_of_a_reply_that_is_spoken(self) -> None:
        sound = base64.b64encode(b"RIFF....WAVE").decode()
        said = {"id": "audio_1", "data": sound, "transcript": "Good day."}
        parts = whole(OpenAIChat(), chat(content=None, audio=said)).message.parts
        assert parts == (Text(text="Good day."), File(data=b"RIFF....WAVE", media_type="audio/wav"))

    def test_speech_in_pieces(self) -> None:
        pieces = (
            {"id": "audio_1", "transcript": "Good "},
            {"data": base64.b64encode(b"\x00\x01").decode()},
            {"transcript": "day.", "data": base64.b64encode(b"\x02").decode()},
            {"expires_at": 1},
        )
        chunks = [{"choices": [{"index": 0, "delta": {"audio": one}}]} for one in pieces]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        shown, reply = streamed(OpenAIChat(), *chunks, end)
        assert shown == "Good day."
        expected = (Text(text="Good day."), File(data=b"\x00\x01\x02", media_type="audio/pcm"))
        assert reply.message.parts == expected


def test_what_shortening_the_context_took_is_counted() -> None:
    passes = [
        {"type": "compaction", "input_tokens": 80, "output_tokens": 15, "cache_read_input_tokens": 3},
        {"type": "advisor_message", "input_tokens": 900, "output_tokens": 90},
        {"type": "message", "input_tokens": 20, "output_tokens": 5},
    ]
    usage = {"input_tokens": 20, "output_tokens": 5, "iterations": passes}
    expected = Usage(input_tokens=100, cached_input_tokens=3, output_tokens=20)
    reply = {"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage}
    assert whole(AnthropicMessages(), reply).usage == expected
    _, told = streamed(
        AnthropicMessages(),
        {"type": "message_start", "message": {"usage": {"input_tokens": 80, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    )
    assert told.usage == expected


HELLO = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}}]}


class TestGemini:
    def test_a_whole_reply_needs_no_finish_reason(self) -> None:
        reply = whole(Gemini(), HELLO)
        assert (reply.message.text, reply.finish_reason) == ("Hello", FinishReason.STOP)

    def test_a_stream_needs_its_end(self) -> None:
        with pytest.raises(BrokenReplyError):
            streamed(Gemini(), HELLO)

    def test_a_reply_without_an_answer_is_broken(self) -> None:
        with pytest.raises(BrokenReplyError):
            whole(Gemini(), {"name": "batches/1"})


class TestResponses:
    @staticmethod
    def reply(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"id": "r", "status": "completed", "output": list(output), **more}

    @pytest.mark.parametrize("cost", [{"cost": 0.5}, {"cost_in_usd_ticks": 5_000_000_000}])
    def test_a_server_that_says_what_it_charges(self, cost: dict[str, Any]) -> None:
        usage = {"input_tokens": 1, "output_tokens": 2, **cost}
        assert whole(OpenAIResponses(), self.reply(usage=usage)).usage.cost_usd == 0.5

    def test_a_picture_that_the_provider_drew_is_a_picture(self) -> None:
        call = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}
        drawn = {**call, "output_format": "webp", "result": DRAWN}
        reply = whole(OpenAIResponses(), self.reply(drawn))
        assert reply.message.parts == (
            Opaque(origin="openai_responses", item={**call, "output_format": "webp"}),
            Image(data=PICTURE, media_type="image/webp"),
        )

    @pytest.mark.parametrize("result", [None, "", "!"])
    def test_a_picture_that_failed_is_kept_as_it_came(self, result: str | None) -> None:
        call = {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": result}
        parts = whole(OpenAIResponses(), self.reply(call)).message.parts
        assert parts == (Opaque(origin="openai_responses", item=call),)
