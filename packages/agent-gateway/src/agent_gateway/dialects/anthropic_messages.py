"""The codec of Anthropic Messages. Pure: no I/O, no clock.

Follows the API reference of Anthropic (November 2026, version 2023-06-01): a message is a list of blocks, a reply
streams them one after the other. Blocks that only Anthropic understands are kept as `Opaque`, in their place.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.messages import FinishReason, Message, Opaque, Part, Reasoning, Text, Usage
from agent_core.tools import ToolCall
from agent_gateway.dialects.anthropic_request import NAME, encode_request
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, WireRequest, Wiring, agreed, random_id
from agent_gateway.dialects.tool_slots import NewId, tool_call
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target, failure

_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
    "pause_turn": FinishReason.PAUSED,
    "compaction": FinishReason.PAUSED,
}


class AnthropicMessages(Dialect):
    """Anthropic Messages."""

    name = NAME

    def headers(self, api_key: str) -> dict[str, str]:
        """See `Dialect`."""
        headers = {"anthropic-version": "2023-06-01"}
        return {**headers, "x-api-key": api_key} if api_key else headers

    def encode(self, request: ModelRequest, wiring: Wiring) -> WireRequest:
        """See `Dialect`."""
        body, headers = encode_request(request, wiring)
        return WireRequest(path="/messages", body=msgspec.json.encode(body), headers=headers)

    def decoder(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> "MessageDecoder":
        """See `Dialect`."""
        return MessageDecoder(target, names=names, new_id=new_id)


class _Thoughts(msgspec.Struct):
    thinking_tokens: int | None = None


class _Iteration(msgspec.Struct):
    """One pass of the model within a reply."""

    type: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Counts that are absent from one event keep their value from an earlier one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Thoughts | None = None
    iterations: list[_Iteration] | None = None


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    content: list[dict[str, Any]] | None = None
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    usage: _Usage | None = None
    type: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    content: Any = None
    citation: Any = None
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    index: int = 0
    delta: _Delta | None = None
    content_block: dict[str, Any] | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(_Event)
_MESSAGE = msgspec.json.Decoder(_Message)
_NOTHING = (b"", b"null")


class _Block:
    """A block under construction: what it began with, and the pieces since."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.kind = str(start.get("type") or "")
        self.start = start
        self.pieces: list[str] = []
        self.signature = str(start.get("signature") or "")
        self.slot = -1

    @property
    def joined(self) -> str:
        return "".join(self.pieces)


class MessageDecoder(ReplyDecoder):
    """Turns the events of one reply into deltas and, at the end, the completion."""

    def __init__(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> None:
        self._target = target
        self._names = names or {}
        self._new_id = new_id or random_id
        self._model: str | None = None
        self._response_id = ""
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._stop: str | None = None
        self._stop_details: _StopDetails | None = None
        self._usage = _Usage()
        self._completed = False

    def feed(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`."""
        if self._completed or data[:6] == b"[DONE]":
            return []
        try:
            event = _EVENT.decode(data)
        except msgspec.DecodeError as error:
            reason = f"it sent something that is no event of a message ({error})"
            raise BrokenReplyError(self._target.where, reason) from error
        if event.type == "error" or bytes(event.error) not in _NOTHING:
            raise failure(self._target, data)
        out: list[Delta | Completion] = []
        if event.type == "content_block_delta" and event.delta is not None:
            self._add(event.index, event.delta, out)
        elif event.type == "content_block_start":
            self._begin(event.index, event.content_block or {}, out)
        elif event.type == "message_start" and event.message is not None:
            self._head(event.message, out)
        elif event.type == "message_delta":
            self._stopped(event.delta)
            self._count(event.usage)
        elif event.type == "message_stop":
            self._stop = self._stop or "end_turn"
            out.append(self.finish())
        return out

    def take(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`."""
        try:
            message = _MESSAGE.decode(data)
        except msgspec.DecodeError as error:
            raise BrokenReplyError(
                self._target.where, f"it sent something that is no message ({error})"
            ) from error
        if bytes(message.error) not in _NOTHING:
            raise failure(self._target, data)
        out: list[Delta | Completion] = []
        self._head(message, out)
        return out

    def finish(self) -> Completion:
        """See `ReplyDecoder`."""
        if self._stop is None:
            raise BrokenReplyError(self._target.where, "the reply broke off before its end")
        self._completed = True
        refused = self._stop == "refusal"
        parts: list[Part] = []
        for _, block in sorted(self._blocks.items()):
            part = self._part(block, refused=refused)
            if part is not None:
                parts.append(part)
        if refused and not any(isinstance(part, Text) for part in parts):
            why = self._stop_details and self._stop_details.explanation
            parts.append(Text(text=why or "", refusal=True))
        return Completion(
            message=Message(role="assistant", parts=tuple(parts)),
            model=self._model or self._target.model,
            finish_reason=agreed(
                _FINISH.get(self._stop, FinishReason.STOP), calls=bool(self._calls), refused=refused
            ),
            usage=_disjoint(self._usage),
            stop_detail=self._stop,
            response_id=self._response_id,
        )

    def _head(self, message: _Message, out: list[Delta | Completion]) -> None:
        self._model = message.model
        self._response_id = message.id or ""
        self._stopped(message)
        self._count(message.usage)
        for index, block in enumerate(message.content or ()):
            self._begin(index, block, out)

    def _begin(self, index: int, start: dict[str, Any], out: list[Delta | Completion]) -> None:
        """A block begins; in a whole reply, and for some kinds in a stream too, it is all there."""
        block = self._blocks[index] = _Block(start)
        match block.kind:
            case "text":
                self._add(index, _Delta(text=start.get("text")), out)
            case "thinking":
                self._add(index, _Delta(thinking=start.get("thinking")), out)
            case "tool_use":
                block.slot, self._calls = self._calls, self._calls + 1
                wire = str(start.get("name") or "")
                arguments = msgspec.json.encode(start["input"]).decode() if start.get("input") else ""
                out.append(
                    ToolCallDelta(index=block.slot, name=self._names.get(wire, wire), arguments=arguments)
                )
            case _:
                pass

    def _add(self, index: int, delta: _Delta, out: list[Delta | Completion]) -> None:
        block = self._blocks.get(index)
        if block is None:  # a server that leaves out the start of a block
            kind = "thinking" if delta.thinking is not None else "text"
            block = self._blocks[index] = _Block({"type": kind})
        if delta.text:
            block.pieces.append(delta.text)
            out.append(TextDelta(delta.text))
        elif delta.partial_json:
            block.pieces.append(delta.partial_json)
            if block.slot >= 0:
                out.append(ToolCallDelta(index=block.slot, arguments=delta.partial_json))
        elif delta.thinking:
            block.pieces.append(delta.thinking)
            out.append(ReasoningDelta(delta.thinking))
        elif delta.signature:
            block.signature += delta.signature
        elif isinstance(delta.content, str):  # a summary of what was left out of the context
            block.start["content"] = str(block.start.get("content") or "") + delta.content

    def _part(self, block: _Block, *, refused: bool) -> Part | None:
        match block.kind:
            case "text":
                return Text(text=block.joined, refusal=refused) if block.pieces else None
            case "thinking":
                return Reasoning(text=block.joined, signature=block.signature, origin=NAME)
            case "redacted_thinking":
                return Reasoning(text="", signature=str(block.start.get("data")), redacted=True, origin=NAME)
            case "tool_use":
                return self._call(block)
            case _:
                item = dict(block.start)
                if block.pieces:
                    item["input"] = tool_call("", "", block.joined).arguments
                return Opaque(origin=NAME, item=item)

    def _call(self, block: _Block) -> ToolCall:
        wire = str(block.start.get("name") or "")
        arguments = block.joined or msgspec.json.encode(block.start.get("input") or {}).decode()
        tool_call_id = str(block.start.get("id") or "") or self._new_id()
        return tool_call(tool_call_id, self._names.get(wire, wire), arguments)

    def _stopped(self, said: "_Delta | _Message | None") -> None:
        if said is not None:
            self._stop = said.stop_reason or self._stop
            self._stop_details = said.stop_details or self._stop_details

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            for field in _Usage.__struct_fields__:
                value = getattr(usage, field)
                if value is not None:
                    setattr(self._usage, field, value)


def _disjoint(usage: _Usage) -> Usage:
    """The wire's input classes are disjoint already; its output includes the thoughts. What it took to make the context
    shorter is billed and stands beside the totals; so does what another model took that it asked for advice, which has
    another price and is left out.
    """
    thoughts = (usage.output_tokens_details and usage.output_tokens_details.thinking_tokens) or 0
    total = Usage(
        input_tokens=usage.input_tokens or 0,
        cached_input_tokens=usage.cache_read_input_tokens or 0,
        cache_write_tokens=usage.cache_creation_input_tokens or 0,
        output_tokens=max(0, (usage.output_tokens or 0) - thoughts),
        reasoning_tokens=thoughts,
    )
    for one in usage.iterations or ():
        if one.type == "compaction":
            total += Usage(
                input_tokens=one.input_tokens or 0,
                cached_input_tokens=one.cache_read_input_tokens or 0,
                cache_write_tokens=one.cache_creation_input_tokens or 0,
                output_tokens=one.output_tokens or 0,
            )
    return total
