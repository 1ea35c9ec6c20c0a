"""The codec of OpenAI Chat Completions, the format that nearly every server speaks. Pure: no I/O, no clock.

Follows the API reference of OpenAI (November 2026); what other servers do otherwise is in `compat` (requests) or is
accepted here in any shape that was seen (replies, whose shapes are in `chat_wire`).
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from agent_core.chat import (
    Completion,
    Delta,
    ModelRequest,
    NamedTool,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.messages import File, FinishReason, Image, Message, Opaque, Part, Reasoning, Text, Usage
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.compat import COMPATIBLE, Compat, Thinking, Traits
from agent_gateway.dialects.chat_wire import Call, Choice, Function, Reply, Said
from agent_gateway.dialects.constraints import constraint_fields
from agent_gateway.dialects.data_urls import data_url
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, WireRequest, Wiring, agreed, random_id
from agent_gateway.dialects.extras import add_extra
from agent_gateway.dialects.thinking import effort
from agent_gateway.dialects.tool_names import Names
from agent_gateway.dialects.tool_names import wire_names as wire_names  # noqa: PLC0414 (for who takes only this format)
from agent_gateway.dialects.tool_slots import NewId, Piece, ToolSlots
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target, failure

NAME = "openai_chat"
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
}


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


def encode_request(
    request: ModelRequest,
    *,
    model: str,
    compat: Compat = COMPATIBLE,
    traits: Traits = Traits(),  # noqa: B008 (frozen)
    stream: bool = True,
) -> dict[str, object]:
    """The body of a request, as JSON values.

    Raises:
        ConstraintUnsupportedError: `compat` says that the server cannot hold its output to the constraint.
    """
    names = Names(request.tools)
    body: dict[str, object] = {
        "model": model,
        "messages": [item for message in request.messages for item in _message(message, names, compat)],
    }
    if request.tools:
        body["tools"] = [_tool(tool, names.wire(tool.name)) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request, names)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    optional = {
        compat.max_tokens_field: request.max_output_tokens,
        "temperature": request.temperature if traits.sampling else None,
        "top_p": request.top_p if traits.sampling else None,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        compat.repeat_penalty_field: request.repeat_penalty,
        compat.effort_field: effort(request, traits.efforts)
        if traits.thinking is not Thinking.NONE
        else None,
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream and compat.stream_usage else None,
    }
    body.update({name: value for name, value in optional.items() if name and value is not None})
    if request.constraint is not None:
        body.update(constraint_fields(request.constraint, compat))
    body.update(compat.extra)
    add_extra(body, request.extra)
    return body


def _tool(tool: ToolSpec, name: str) -> dict[str, object]:
    function = {"name": name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _tool_choice(request: ModelRequest, names: Names) -> object:
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": names.wire(choice.name)}}
    return choice


def _message(message: Message, names: Names, compat: Compat) -> Iterator[dict[str, object]]:
    """The wire's messages: each tool result is one of its own, and a note behind them one of the user."""
    for result in message.tool_results:
        yield {"role": "tool", "tool_call_id": result.tool_call_id, "content": result.content}
    if message.role == "tool":
        if message.text:
            yield {"role": "user", "content": message.text}
        return
    wire: dict[str, object] = {"role": message.role, "content": _content(message.parts)}
    calls = message.tool_calls
    if calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [_call(call, names) for call in calls]
    if compat.reasoning_field:
        thoughts = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
        if thoughts or (calls and compat.reasoning_required):
            wire[compat.reasoning_field] = thoughts
    if compat.reasoning_details:
        for part in message.parts:
            if isinstance(part, Opaque) and part.origin == NAME:
                wire.update(part.item)
    yield wire


def _content(parts: Sequence[Part]) -> object:
    """Text alone as a string; with images or files, a list."""
    if not any(isinstance(part, Image | File) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    listed: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, Text):
            listed.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            image: dict[str, object] = {"url": part.url or data_url(part.media_type, part.data)}
            if part.detail:
                image["detail"] = part.detail
            listed.append({"type": "image_url", "image_url": image})
        elif isinstance(part, File):
            listed.append(_file(part))
    return listed


def _file(part: File) -> dict[str, object]:
    if part.media_type.startswith("audio/") and part.data:
        kind = {"mpeg": "mp3", "x-wav": "wav"}.get(part.media_type[6:], part.media_type[6:])
        return {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(part.data).decode(), "format": kind},
        }
    if part.file_id:
        return {"type": "file", "file": {"file_id": part.file_id}}
    data = part.url or data_url(part.media_type, part.data)
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}


def _call(call: ToolCall, names: Names) -> dict[str, object]:
    # Templates parse the arguments of earlier calls: text that was no JSON object would break every later request.
    arguments = {"malformed": call.malformed} if call.malformed else call.arguments
    function = {"name": names.wire(call.name), "arguments": msgspec.json.encode(arguments).decode()}
    wire: dict[str, object] = {"id": call.tool_call_id, "type": "function", "function": function}
    if call.signature:
        wire["extra_content"] = {"google": {"thought_signature": call.signature}}
    return wire


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
        parts.extend(self._slots.calls(self._names, self._new_id))
        reason = _FINISH.get(self._finish, FinishReason.STOP)
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
        if choice.usage:
            self._usage = choice.usage.disjoint()
        if bytes(choice.error) not in _NOTHING:
            raise failure(self._target, b'{"error":%s}' % bytes(choice.error))

    def _say(self, said: Said, out: list[Delta | Completion]) -> None:
        text = said.content
        thought = said.reasoning_content or said.reasoning
        if text is not None and not isinstance(text, str):
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
        if said.reasoning_details:
            self._add_details(said.reasoning_details)
        if said.tool_calls:
            out.extend(self._call(call) for call in said.tool_calls)
        if said.function_call is not None:
            out.append(self._call(Call(index=0, function=said.function_call)))

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
