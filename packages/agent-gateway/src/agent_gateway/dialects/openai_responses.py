"""The codec of OpenAI Responses. Pure: no I/O, no clock.

Follows the API reference of OpenAI (November 2026): a reply is a list of items, which a stream builds one by one. Items
that only the provider understands, such as a search that it ran, are kept as `Opaque`, in their place.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.messages import FinishReason, Image, Message, Opaque, Part, Reasoning, Text, Usage
from agent_core.tools import ToolCall
from agent_gateway.dialects.chat_wire import Count, billed
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, WireRequest, Wiring, agreed, random_id
from agent_gateway.dialects.responses_request import NAME, encode_request, is_drawing
from agent_gateway.dialects.tool_slots import NewId, tool_call
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target, failure

_INCOMPLETE = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class OpenAIResponses(Dialect):
    """OpenAI Responses."""

    name = NAME

    def headers(self, api_key: str) -> dict[str, str]:
        """See `Dialect`."""
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def encode(self, request: ModelRequest, wiring: Wiring) -> WireRequest:
        """See `Dialect`."""
        return WireRequest(path="/responses", body=msgspec.json.encode(encode_request(request, wiring)))

    def decoder(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> "ItemDecoder":
        """See `Dialect`."""
        return ItemDecoder(target, names=names, new_id=new_id)


class _Details(msgspec.Struct):
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None


class _Usage(msgspec.Struct):
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    cost: Any = None  # OpenRouter
    cost_in_usd_ticks: Count = None  # xAI

    def disjoint(self) -> Usage:
        """The wire's totals include cached, written and reasoning tokens; ours do not."""
        read, said = self.input_tokens_details or _Details(), self.output_tokens_details or _Details()
        cached, written = int(read.cached_tokens or 0), int(read.cache_write_tokens or 0)
        reasoning = int(said.reasoning_tokens or 0)
        return Usage(
            input_tokens=max(0, int(self.input_tokens or 0) - cached - written),
            cached_input_tokens=cached,
            cache_write_tokens=written,
            output_tokens=max(0, int(self.output_tokens or 0) - reasoning),
            reasoning_tokens=reasoning,
            cost_usd=billed(self.cost, self.cost_in_usd_ticks),
        )


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[dict[str, Any]] | None = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    type: str | None = None
    output_index: int = 0
    delta: Any = None
    item: dict[str, Any] | None = None
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)
_NOTHING = (b"", b"null")
_TEXT = {"response.output_text.delta", "response.refusal.delta"}
_THOUGHT = {
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning.delta",
}
_ENDS = {
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "response.done",
}


class _Item:
    """An item under construction: how it began or ended, and what came between."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.done = False
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.thought: list[str] = []
        self.arguments: list[str] = []
        self.slot = -1

    def whole(self) -> dict[str, Any]:
        """The item; one that never ended, from its pieces."""
        if self.done:
            return self.start
        item = dict(self.start)
        if self.text or self.refusal:
            said = [{"type": "output_text", "text": "".join(self.text)}] if self.text else []
            declined = [{"type": "refusal", "refusal": "".join(self.refusal)}] if self.refusal else []
            item |= {"type": "message", "content": [*said, *declined]}
        if self.thought:
            item |= {
                "type": "reasoning",
                "content": [{"type": "reasoning_text", "text": "".join(self.thought)}],
            }
        if self.arguments:
            item["arguments"] = "".join(self.arguments)
        return item


class ItemDecoder(ReplyDecoder):
    """Turns the events of one reply into deltas and, at the end, the completion."""

    def __init__(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> None:
        self._target = target
        self._names = names or {}
        self._new_id = new_id or random_id
        self._items: dict[int, _Item] = {}
        self._calls = 0
        self._response = _Response()
        self._ended = False
        self._completed = False

    def feed(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`."""
        if self._completed or data[:6] == b"[DONE]":
            return []
        try:
            event = _EVENT.decode(data)
        except msgspec.DecodeError as error:
            reason = f"it sent something that is no event of a response ({error})"
            raise BrokenReplyError(self._target.where, reason) from error
        kind = event.type or ""
        out: list[Delta | Completion] = []
        if kind.endswith(".delta"):
            if isinstance(event.delta, str) and event.delta:
                self._add(kind, event.output_index, event.delta, out)
        elif kind in {"response.output_item.added", "response.output_item.done"}:
            if event.item is not None:
                self._item(event.output_index, event.item, out, done=kind.endswith("done"))
        elif event.response is not None and kind in _ENDS:
            self._end(event.response, data)
            out.append(self.finish())
        elif event.response is not None:
            self._response = event.response
        elif kind == "error" or bytes(event.error) not in _NOTHING:
            raise failure(self._target, data)
        return out

    def take(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`."""
        try:
            response = _RESPONSE.decode(data)
        except msgspec.DecodeError as error:
            reason = f"it sent something that is no response ({error})"
            raise BrokenReplyError(self._target.where, reason) from error
        out: list[Delta | Completion] = []
        for index, item in enumerate(response.output or ()):
            self._item(index, item, out, done=True)
        self._end(response, data)
        return out

    def finish(self) -> Completion:
        """See `ReplyDecoder`."""
        if not self._ended:
            raise BrokenReplyError(self._target.where, "the reply broke off before its end")
        self._completed = True
        response = self._response
        items = response.output or [self._items[index].whole() for index in sorted(self._items)]
        parts = [part for item in items for part in self._parts(item)]
        refused = any(isinstance(part, Text) and part.refusal for part in parts)
        calls = any(isinstance(part, ToolCall) for part in parts)
        why = (response.incomplete_details and response.incomplete_details.reason) or ""
        match response.status:
            case "incomplete":
                reason = _INCOMPLETE.get(why, FinishReason.LENGTH)
            case "cancelled":
                reason = FinishReason.CANCELLED
            case _:
                reason = FinishReason.STOP
        return Completion(
            message=Message(role="assistant", parts=tuple(parts)),
            model=response.model or self._target.model,
            finish_reason=agreed(reason, calls=calls, refused=refused),
            usage=response.usage.disjoint() if response.usage else Usage(),
            stop_detail=why or response.status or "",
            response_id=response.id or "",
        )

    def _end(self, response: _Response, data: bytes) -> None:
        if bytes(response.error) not in _NOTHING or response.status == "failed":
            error = bytes(response.error)
            raise failure(self._target, b'{"error":%s}' % error if error not in _NOTHING else data)
        self._response, self._ended = response, True

    def _add(self, kind: str, index: int, delta: str, out: list[Delta | Completion]) -> None:
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item({})
        if kind in _TEXT:
            (item.text if kind == "response.output_text.delta" else item.refusal).append(delta)
            out.append(TextDelta(delta))
        elif kind in _THOUGHT:
            item.thought.append(delta)
            out.append(ReasoningDelta(delta))
        elif kind == "response.function_call_arguments.delta":
            item.arguments.append(delta)
            out.append(ToolCallDelta(index=self._slot(item), arguments=delta))

    def _item(self, index: int, start: dict[str, Any], out: list[Delta | Completion], *, done: bool) -> None:
        """An item begins, or is whole; what no delta told of is told now."""
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item(start)
            if start.get("type") == "function_call":
                name = str(start.get("name") or "")
                out.append(ToolCallDelta(index=self._slot(item), name=self._names.get(name, name)))
        if not done:
            return
        item.start, item.done = start, True
        match start.get("type"):
            case "message" if not item.text and not item.refusal:
                texts = [part.text for part in self._parts(start) if isinstance(part, Text)]
                out.extend(TextDelta(text) for text in texts if text)
            case "reasoning" if not item.thought:
                thoughts = [part.text for part in self._parts(start) if isinstance(part, Reasoning)]
                out.extend(ReasoningDelta(text) for text in thoughts if text)
            case "function_call" if not item.arguments and start.get("arguments"):
                out.append(ToolCallDelta(index=self._slot(item), arguments=_text(start["arguments"])))
            case _:
                pass

    def _slot(self, item: _Item) -> int:
        if item.slot < 0:
            item.slot, self._calls = self._calls, self._calls + 1
        return item.slot

    def _parts(self, item: dict[str, Any]) -> Iterator[Part]:
        match item.get("type"):
            case "message":
                phase = str(item.get("phase") or "")
                for content in item.get("content") or ():
                    refusal = content.get("refusal")
                    text = str(refusal or content.get("text") or "")
                    if text:
                        yield Text(text=text, refusal=bool(refusal), phase=phase)
            case "reasoning":
                yield from _thoughts(item)
            case "function_call":
                name = str(item.get("name") or "")
                tool_call_id = str(item.get("call_id") or item.get("id") or "") or self._new_id()
                arguments = _text(item.get("arguments") or "")
                group = str(item.get("namespace") or "")
                yield tool_call(tool_call_id, self._names.get(name, name), arguments, namespace=group)
            case _:
                picture = _drawn(item)
                if picture is not None:  # once: as a picture, which everybody understands
                    item = {name: value for name, value in item.items() if name != "result"}
                yield Opaque(origin=NAME, item=item)
                if picture is not None:
                    yield picture


def _drawn(item: dict[str, Any]) -> Image | None:
    if not is_drawing(item) or not isinstance(item.get("result"), str):
        return None
    try:
        data = base64.b64decode(item["result"])
    except binascii.Error:
        return None
    return Image(data=data, media_type=f"image/{item.get('output_format') or 'png'}") if data else None


def _thoughts(item: dict[str, Any]) -> Iterator[Reasoning]:
    """A part for each piece of a thought; the seal goes with the first."""
    seal, item_id = str(item.get("encrypted_content") or ""), str(item.get("id") or "")
    pieces = [(str(one.get("text") or ""), True) for one in item.get("summary") or ()]
    pieces += [(str(one.get("text") or ""), False) for one in item.get("content") or ()]
    for text, summary in pieces or [("", True)]:
        yield Reasoning(
            text=text, signature=seal, redacted=not pieces, summary=summary, item_id=item_id, origin=NAME
        )
        seal = ""


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
