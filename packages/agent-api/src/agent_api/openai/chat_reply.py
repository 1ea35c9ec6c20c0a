"""What `POST /v1/chat/completions` answers: a completion, or its chunks as server-sent events."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Literal

import msgspec

from agent_api.openai.failures import failure_body
from agent_api.openai.talk import Ended, Talk, Turn, Waiting
from agent_core.chat import ReasoningDelta, TextDelta
from agent_core.errors import AgentError
from agent_core.messages import FinishReason, Message, Reasoning, Text, Usage
from agent_core.tools import ToolCall

FinishWord = Literal["stop", "length", "tool_calls", "content_filter"]
_WORDS: dict[FinishReason, FinishWord] = {
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
}
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
_encode = msgspec.json.Encoder().encode


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A function with its arguments as JSON text."""

    name: str
    arguments: str


class ReplyCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call for the client to make."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ReplyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[ReplyCall, ...] | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer."""

    index: int = 0
    message: ReplyMessage
    logprobs: None = None
    finish_reason: FinishWord


class PromptDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the prompt's tokens."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the answer's tokens."""

    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class ChatUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens spent; of an agent's run, by all its turns."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a chat that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage
    service_tier: Literal["default"] = "default"
    system_fingerprint: str = ""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What all chunks of one reply have in common."""

    id: str
    model: str
    created: int


def head(reply_id: str, model: str) -> Head:
    """The head of a reply that begins now."""
    return Head(id=f"chatcmpl-{reply_id}", model=model, created=int(time.time()))


def completion(of: Head, turns: list[Message], ended: Ended) -> ChatCompletion:
    """The whole reply: the last turn is the answer."""
    message = turns[-1] if turns else Message(role="assistant", parts=())
    choice = Choice(message=_reply(message), finish_reason=_word(ended, message))
    return ChatCompletion(
        id=of.id, created=of.created, model=of.model, choices=(choice,), usage=chat_usage(ended.usage)
    )


def chat_usage(usage: Usage) -> ChatUsage:
    """Usage in OpenAI's fields, whose parts are contained in their sums."""
    return ChatUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.output_tokens + usage.reasoning_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=usage.cached_input_tokens),
        completion_tokens_details=CompletionDetails(reasoning_tokens=usage.reasoning_tokens),
    )


async def frames(of: Head, talk: Talk, *, include_usage: bool, path: str) -> AsyncIterator[bytes]:
    """The chunks of a reply, then `[DONE]`. What fails in the middle is a last frame with the error."""
    writer = _Chunks(of, include_usage=include_usage)
    try:
        async with aclosing(talk):
            yield writer.chunk({"role": "assistant", "content": ""})
            async for said in talk:
                match said:
                    case TextDelta():
                        yield writer.text(said.text)
                    case ReasoningDelta():
                        yield writer.chunk({"reasoning_content": said.text})
                    case Turn():
                        for frame in writer.turn(said.message):
                            yield frame
                    case Ended():
                        for frame in writer.end(said):
                            yield frame
                    case Waiting():
                        yield PING
    except AgentError as error:
        yield b"data: %b\n\n" % _encode(failure_body(error, path))
    yield DONE


class _Chunks:
    """Writes the chunks of one reply."""

    def __init__(self, of: Head, *, include_usage: bool) -> None:
        self._head = of
        self._include_usage = include_usage
        self._last: Message | None = None
        self._in_turn = ""
        self._told_before = False

    def chunk(self, delta: dict[str, object], finish: FinishWord | None = None) -> bytes:
        choice: dict[str, object] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._frame([choice], None)

    def text(self, text: str) -> bytes:
        """More text; a turn that follows another begins with a paragraph of its own."""
        if not self._in_turn and self._told_before:
            text = f"\n\n{text}"
        self._in_turn += text
        return self.chunk({"content": text})

    def turn(self, message: Message) -> list[bytes]:
        """What only the whole turn tells: its calls, its refusal."""
        self._last = message
        self._told_before = self._told_before or bool(self._in_turn)
        told, self._in_turn = self._in_turn, ""
        reply = _reply(message)
        found: list[bytes] = []
        if not told and reply.content:
            found.append(self.chunk({"content": reply.content}))
            self._told_before = True
        if reply.refusal:
            found.append(self.chunk({"refusal": reply.refusal}))
        if reply.tool_calls:
            calls = [
                {"index": place, **msgspec.to_builtins(call)} for place, call in enumerate(reply.tool_calls)
            ]
            found.append(self.chunk({"tool_calls": calls}))
        return found

    def end(self, ended: Ended) -> list[bytes]:
        found = [self.chunk({}, _word(ended, self._last))]
        if self._include_usage:
            found.append(self._frame([], chat_usage(ended.usage)))
        return found

    def _frame(self, choices: list[dict[str, object]], usage: ChatUsage | None) -> bytes:
        of = self._head
        chunk: dict[str, object] = {
            "id": of.id,
            "object": "chat.completion.chunk",
            "created": of.created,
            "model": of.model,
            "service_tier": "default",
            "system_fingerprint": "",
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = usage
        return b"data: %b\n\n" % _encode(chunk)


def arguments_of(call: ToolCall) -> str:
    """The arguments as the text that the model wrote, or as JSON."""
    return call.malformed or _encode(call.arguments).decode()


def _reply(message: Message) -> ReplyMessage:
    refusal = "".join(part.text for part in message.parts if isinstance(part, Text) and part.refusal)
    text = "".join(part.text for part in message.parts if isinstance(part, Text) and not part.refusal)
    thoughts = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    calls = tuple(
        ReplyCall(id=call.tool_call_id, function=FunctionCall(name=call.name, arguments=arguments_of(call)))
        for call in message.tool_calls
    )
    return ReplyMessage(
        content=text or (None if calls or refusal else ""),
        refusal=refusal or None,
        reasoning_content=thoughts or msgspec.UNSET,
        tool_calls=calls or msgspec.UNSET,
    )


def _word(ended: Ended, message: Message | None) -> FinishWord:
    if message is not None and message.tool_calls:
        return "tool_calls"
    return (
        _WORDS.get(ended.finish_reason, "stop")
        if ended.finish_reason is not FinishReason.TOOL_CALLS
        else "stop"
    )
