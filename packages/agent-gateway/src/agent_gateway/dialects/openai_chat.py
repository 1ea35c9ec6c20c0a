"""The codec of OpenAI Chat Completions, the format that nearly every server speaks. Pure: no I/O, no clock.

Follows the API reference of OpenAI (November 2026); what other servers do otherwise is in `compat` (requests) or is
accepted here in any shape that was seen (replies, whose shapes are in `chat_wire`).
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from agent_core.chat import (
    Completion,
    Delta,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.messages import FinishReason, Message, Opaque, Part, Reasoning, Text, Usage
from agent_gateway.dialects.chat_media import Media
from agent_gateway.dialects.chat_request import NAME, encode_request
from agent_gateway.dialects.chat_wire import Call, Choice, Function, Reply, Said
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, WireRequest, Wiring, agreed, random_id
from agent_gateway.dialects.tool_slots import NewId, Piece, ToolSlots
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target, failure

_FINISH = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "abort": FinishReason.CANCELLED,
    "cancelled": FinishReason.CANCELLED,
    "error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,  # DeepSeek
}
"""In lower case; Gemini behind this format writes why behind a colon."""


class OpenAIChat(Dialect):
    """OpenAI Chat Completions."""

    name = NAME

    def headers(self, api_key: str) -> dict[str, str]:
        """See `Dialect`."""
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def encode(self, request: ModelRequest, wiring: Wiring) -> WireRequest:
        """See `Dialect`."""
        body = encode_request(
            request, model=wiring.model, compat=wiring.compat, traits=wiring.traits, stream=wiring.stream
        )
        return WireRequest(path="/chat/completions", body=msgspec.json.encode(body))

    def decoder(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> "StreamDecoder":
        """See `Dialect`."""
        return StreamDecoder(target, names=names, new_id=new_id)


_DECODER = msgspec.json.Decoder(Reply)
_NOTHING = (b"", b"null")


def decode_reply(
    data: bytes, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
) -> Completion:
    """The completion in the body of a reply that was not streamed.

    Raises:
        ModelError: the body holds an error object instead, or is no chat completion.
    """
    decoder = StreamDecoder(target, names=names, new_id=new_id)
    decoder.take(data)
    return decoder.finish()


class StreamDecoder(ReplyDecoder):
    """Turns the events of one streamed reply into deltas and, at the end, the completion.

    Feed it the data of each server-sent event; call `finish` when the stream ends without a `[DONE]`.
    """

    __slots__ = (  # a thousand streams may be open
        "_completed",
        "_details",
        "_finish",
        "_media",
        "_model",
        "_names",
        "_new_id",
        "_reasoning",
        "_refusal",
        "_response_id",
        "_slots",
        "_target",
        "_text",
        "_usage",
    )

    def __init__(
        self,
        target: Target,
        *,
        names: Mapping[str, str] | None = None,
        new_id: NewId | None = None,
        model: str | None = None,
    ) -> None:
        self._target = target
        self._names = names or {}
        self._new_id = new_id or random_id
        self._model = model
        self._response_id = ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._media: Media | None = None
        self._slots = ToolSlots()
        self._finish: str | None = None
        self._usage = Usage()
        self._completed = False

    def feed(self, data: bytes) -> list[Delta | Completion]:
        """Take the data of one event; returns what it adds, the `Completion` last if this was the end.

        Raises:
            ModelError: the event holds an error object, or is no chunk of a chat completion.
        """
        if self._completed:
            return []
        if data[:6] == b"[DONE]" or data.strip() == b"[DONE]":
            self._finish = self._finish or "stop"
            return [self.finish()]
        return self.take(data)

    def take(self, data: bytes) -> list[Delta | Completion]:
        """Take one chunk, or a whole reply."""
        try:
            reply = _DECODER.decode(data)
        except msgspec.DecodeError as error:
            return self._in_pieces(data, error)
        if bytes(reply.error) not in _NOTHING:
            raise failure(self._target, data)
        if self._model is None:
            self._model = reply.model
            self._response_id = str(reply.id or "")
        out: list[Delta | Completion] = []
        for choice in reply.choices or ():
            if not choice.index:  # only one answer is ever asked for
                self._choose(choice, out)
        usage = reply.usage or (reply.x_groq and reply.x_groq.usage)
        if usage:
            self._usage = usage.disjoint()
        return out

    def finish(self) -> Completion:
        """The completion of what came so far.

        Raises:
            BrokenReplyError: the stream broke off before its end.
        """
        if self._finish is None:
            raise BrokenReplyError(self._target.where, "the reply broke off before its end")
        self._completed = True
        parts: list[Part] = []
        if self._reasoning:
            parts.append(Reasoning(text="".join(self._reasoning)))
        if self._details:
            parts.append(Opaque(origin=NAME, item={"reasoning_details": self._details}))
        if self._text:
            parts.append(Text(text="".join(self._text)))
        if self._refusal:
            parts.append(Text(text="".join(self._refusal), refusal=True))
        if self._media is not None:
            parts.extend(self._media.parts())
        parts.extend(self._slots.calls(self._names, self._new_id))
        reason = _FINISH.get(self._finish.partition(":")[0].lower(), FinishReason.STOP)
        return Completion(
            message=Message(role="assistant", parts=tuple(parts)),
            model=self._model or self._target.model,
            finish_reason=agreed(reason, calls=bool(self._slots), refused=bool(self._refusal)),
            usage=self._usage,
            stop_detail=self._finish,
            response_id=self._response_id,
        )

    def _in_pieces(self, data: bytes, error: msgspec.DecodeError) -> list[Delta | Completion]:
        """What a server sent that forgets the empty lines between its events."""
        lines = [line for line in data.split(b"\n") if line]
        if len(lines) > 1 and all(line[:1] in b"{[" for line in lines):
            return [item for line in lines for item in self.feed(line)]
        reason = f"it sent something that is no chat completion ({error})"
        raise BrokenReplyError(self._target.where, reason) from error

    def _choose(self, choice: Choice, out: list[Delta | Completion]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            self._say(said, out)
        if choice.finish_reason:
            self._finish = choice.finish_reason
        elif choice.message is not None:  # whole, though it does not say why it ended (OpenRouter)
            self._finish = self._finish or "stop"
        if choice.usage:
            self._usage = choice.usage.disjoint()
        if bytes(choice.error) not in _NOTHING:
            raise failure(self._target, b'{"error":%s}' % bytes(choice.error))

    def _say(self, said: Said, out: list[Delta | Completion]) -> None:
        text = said.content
        thought = said.reasoning_content or said.reasoning
        if isinstance(text, dict):
            text = msgspec.json.encode(text).decode()
        elif text is not None and not isinstance(text, str):
            text, thinking = _flat(text)
            thought = thought or thinking
        if thought and isinstance(thought, str):
            self._reasoning.append(thought)
            out.append(ReasoningDelta(thought))
        if text:
            self._text.append(text)
            out.append(TextDelta(text))
        if said.refusal:
            self._refusal.append(said.refusal)
            out.append(TextDelta(said.refusal))
        if said.images or said.audio:
            self._show(said, out)
        if said.reasoning_details:
            self._add_details(said.reasoning_details)
        if said.tool_calls:
            out.extend(self._call(call) for call in said.tool_calls)
        if said.function_call is not None:
            out.append(self._call(Call(index=0, function=said.function_call)))

    def _show(self, said: Said, out: list[Delta | Completion]) -> None:
        if self._media is None:
            self._media = Media()
        self._media.add_images(said.images or [])
        words = self._media.add_audio(said.audio)
        if words and not said.content:
            self._text.append(words)
            out.append(TextDelta(words))

    def _add_details(self, details: list[dict[str, Any]]) -> None:
        """Pieces of one thought are put together; a seal comes with the last of them."""
        for detail in details:
            last = self._details[-1] if self._details else {}
            same = last.get("index") == detail.get("index") and last.get("type") == detail.get("type")
            if not last or not same or last.get("signature"):
                self._details.append(detail)
                continue
            for field, value in detail.items():
                joined = field in {"text", "summary", "data"} and isinstance(value, str)
                last[field] = (last.get(field) or "") + value if joined else value

    def _call(self, call: Call) -> ToolCallDelta:
        function = call.function or Function()
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        name = function.name or ""
        tool_call_id = "" if call.id is None else str(call.id)
        place = self._slots.add(Piece(call.index, tool_call_id, name, arguments, call.signature))
        return ToolCallDelta(index=place, name=self._names.get(name, name), arguments=arguments)


def _flat(content: list[Any]) -> tuple[str, str]:
    """Text and reasoning of a content that is a list of parts (Mistral: `text` and `thinking`)."""
    text = thought = ""
    for item in content:
        if not isinstance(item, dict):
            text += str(item)
            continue
        part = cast("dict[str, Any]", item)
        if part.get("type") == "thinking":
            thinking = part.get("thinking") or ""
            thought += thinking if isinstance(thinking, str) else _flat(thinking)[0]
        else:
            text += str(part.get("text") or part.get("refusal") or "")
    return text, thought
