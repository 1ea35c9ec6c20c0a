"""The codec of OpenAI Chat Completions, the format that nearly every server speaks. Pure: no I/O, no clock.

Follows the API reference of OpenAI (November 2026); what other servers do otherwise is in `compat` (requests) or is
accepted here in any shape that was seen (replies).
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.messages import FinishReason, Message, Part, Reasoning, Text, Usage
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.compat import COMPATIBLE, Compat
from agent_gateway.dialects.constraints import constraint_fields
from agent_gateway.dialects.tool_slots import NewId, Piece, ToolSlots
from agent_gateway.errors import ProviderUnavailableError
from agent_gateway.failures import Target, failure

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
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
}


def wire_names(tools: Sequence[ToolSpec]) -> dict[str, str]:
    """Wire name -> tool name: the format allows only letters, digits, `_` and `-`, at most 64 of them."""
    names: dict[str, str] = {}
    for tool in tools:
        plain = candidate = _wire_name(tool.name)
        number = 2
        while candidate in names:
            candidate = f"{plain[: _LONGEST_NAME - 4]}_{number}"
            number += 1
        names[candidate] = tool.name
    return names


def encode_request(
    request: ModelRequest, *, model: str, compat: Compat = COMPATIBLE, stream: bool = True
) -> dict[str, object]:
    """The body of a request, as JSON values.

    Raises:
        ConstraintUnsupportedError: `compat` says that the server cannot hold its output to the constraint.
    """
    wire_of = {name: wire for wire, name in wire_names(request.tools).items()}
    body: dict[str, object] = {
        "model": model,
        "messages": [item for message in request.messages for item in _message(message, wire_of, compat)],
    }
    if request.tools:
        body["tools"] = [_tool(tool, wire_of[tool.name]) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
    optional = {
        compat.max_tokens_field: request.max_output_tokens,
        "temperature": request.temperature,
        "stop": list(request.stop) or None,
        compat.repeat_penalty_field: request.repeat_penalty,
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream and compat.stream_usage else None,
    }
    body.update({name: value for name, value in optional.items() if name and value is not None})
    if request.constraint is not None:
        body.update(constraint_fields(request.constraint, compat))
    body.update(compat.extra)
    return body


def _wire_name(name: str) -> str:
    return _NOT_A_NAME.sub("_", name)[:_LONGEST_NAME] or "_"


def _tool(tool: ToolSpec, name: str) -> dict[str, object]:
    function = {"name": name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: Message, wire_of: Mapping[str, str], compat: Compat) -> Iterator[dict[str, object]]:
    """The wire's messages: each tool result is one of its own, and a note behind them one of the user."""
    for result in message.tool_results:
        yield {"role": "tool", "tool_call_id": result.tool_call_id, "content": result.content}
    if message.role == "tool":
        if message.text:
            yield {"role": "user", "content": message.text}
        return
    wire: dict[str, object] = {"role": message.role, "content": message.text}
    calls = message.tool_calls
    if calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [_call(call, wire_of.get(call.name) or _wire_name(call.name)) for call in calls]
    if compat.reasoning_field:
        thoughts = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
        if thoughts:
            wire[compat.reasoning_field] = thoughts
    yield wire


def _call(call: ToolCall, name: str) -> dict[str, object]:
    # Templates parse the arguments of earlier calls: text that was no JSON object would break every later request.
    arguments = {"malformed": call.malformed} if call.malformed else call.arguments
    function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": call.tool_call_id, "type": "function", "function": function}


# Replies: every field may be missing or null.


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    """A `message`, or a `delta` of one."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek

    def disjoint(self) -> Usage:
        """The wire's totals include cached and reasoning tokens; ours do not."""
        prompt, completion = self.prompt_tokens or 0, self.completion_tokens or 0
        details_in, details_out = self.prompt_tokens_details, self.completion_tokens_details
        cached = (details_in and details_in.cached_tokens) or self.prompt_cache_hit_tokens or 0
        reasoning = (details_out and details_out.reasoning_tokens) or 0
        return Usage(
            input_tokens=max(0, prompt - cached),
            cached_input_tokens=cached,
            output_tokens=max(0, completion - reasoning),
            reasoning_tokens=reasoning,
        )


class _Groq(msgspec.Struct):
    usage: _Usage | None = None


class _Reply(msgspec.Struct):
    """A whole reply, or one chunk of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(_Reply)
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


class StreamDecoder:
    """Turns the events of one streamed reply into deltas and, at the end, the completion.

    Feed it the data of each server-sent event; call `finish` when the stream ends without a `[DONE]`.
    """

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
        self._new_id = new_id or _random_id
        self._model = model
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refused = False
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
        if data.strip() == b"[DONE]":
            self._finish = self._finish or "stop"
            return [self.finish()]
        return self.take(data)

    def take(self, data: bytes) -> list[Delta | Completion]:
        """Take one chunk, or a whole reply."""
        try:
            reply = _DECODER.decode(data)
        except msgspec.DecodeError as error:
            reason = f"it sent something that is no chat completion ({error})"
            raise ProviderUnavailableError(self._target.where, reason) from error
        if bytes(reply.error) not in _NOTHING:
            raise failure(self._target, data)
        self._model = self._model or reply.model
        usage = reply.usage or (reply.x_groq and reply.x_groq.usage)
        if usage:
            self._usage = usage.disjoint()
        out: list[Delta | Completion] = []
        for choice in reply.choices or ():
            if choice.index:  # only one answer is ever asked for
                continue
            said = choice.delta or choice.message
            if said is not None:
                self._say(said, out)
            self._finish = choice.finish_reason or self._finish
        return out

    def finish(self) -> Completion:
        """The completion of what came so far.

        Raises:
            ProviderUnavailableError: the stream broke off before its end.
        """
        if self._finish is None:
            raise ProviderUnavailableError(self._target.where, "the reply broke off before its end")
        self._completed = True
        parts: list[Part] = []
        if self._reasoning:
            parts.append(Reasoning(text="".join(self._reasoning)))
        if self._text:
            parts.append(Text(text="".join(self._text)))
        parts.extend(self._slots.calls(self._names, self._new_id))
        return Completion(
            message=Message(role="assistant", parts=tuple(parts)),
            model=self._model or self._target.model,
            finish_reason=self._finish_reason(self._finish),
            usage=self._usage,
        )

    def _finish_reason(self, reason: str) -> FinishReason:
        if self._refused:
            return FinishReason.CONTENT_FILTER
        finish = _FINISH.get(reason, FinishReason.STOP)
        # Many servers say "stop" with tool calls; "tool_calls" without a call would leave a run waiting for none.
        if self._slots and finish is FinishReason.STOP:
            return FinishReason.TOOL_CALLS
        if not self._slots and finish is FinishReason.TOOL_CALLS:
            return FinishReason.STOP
        return finish

    def _say(self, said: _Said, out: list[Delta | Completion]) -> None:
        text, thought = _flat(said.content)
        thought = said.reasoning_content or said.reasoning or thought
        if said.refusal:
            self._refused = True
            text += said.refusal
        if thought:
            self._reasoning.append(thought)
            out.append(ReasoningDelta(thought))
        if text:
            self._text.append(text)
            out.append(TextDelta(text))
        if said.tool_calls:
            out.extend(self._call(call) for call in said.tool_calls)
        if said.function_call is not None:
            out.append(self._call(_Call(index=0, function=said.function_call)))

    def _call(self, call: _Call) -> ToolCallDelta:
        function = call.function or _Function()
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        name = function.name or ""
        place = self._slots.add(Piece(call.index, call.id or "", name, arguments))
        return ToolCallDelta(index=place, name=self._names.get(name, name), arguments=arguments)


def _flat(content: str | list[Any] | None) -> tuple[str, str]:
    """Text and reasoning of a content that may be a list of parts (Mistral: `text` and `thinking`)."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text = thought = ""
    for item in content:
        if not isinstance(item, dict):
            text += str(item)
            continue
        part = cast("dict[str, Any]", item)
        if part.get("type") == "thinking":
            thought += _flat(part.get("thinking"))[0]
        else:
            text += str(part.get("text") or part.get("refusal") or "")
    return text, thought


def _random_id() -> str:
    return f"call_{secrets.token_hex(12)}"
