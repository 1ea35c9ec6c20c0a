"""The codec of Gemini generateContent. Pure: no I/O, no clock.

Follows the API reference of Google (v1beta, November 2026). A chunk of a stream has the shape of a whole reply; what
is neither text nor a call nor an image, such as code that Google ran, is kept as `Opaque`, in its place.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.messages import FinishReason, Image, Message, Opaque, Part, Reasoning, Text, Usage
from agent_core.tools import ToolCall
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, WireRequest, Wiring, agreed, random_id
from agent_gateway.dialects.gemini_request import NAME, encode_request
from agent_gateway.dialects.tool_slots import NewId
from agent_gateway.errors import BrokenReplyError
from agent_gateway.failures import Target, failure

_FILTERED = FinishReason.CONTENT_FILTER
_FINISH = {
    "STOP": FinishReason.STOP,
    "FINISH_REASON_UNSPECIFIED": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": _FILTERED,
    "RECITATION": _FILTERED,
    "LANGUAGE": _FILTERED,
    "BLOCKLIST": _FILTERED,
    "PROHIBITED_CONTENT": _FILTERED,
    "SPII": _FILTERED,
    "IMAGE_SAFETY": _FILTERED,
    "IMAGE_PROHIBITED_CONTENT": _FILTERED,
    "IMAGE_RECITATION": _FILTERED,
    "MODEL_ARMOR": _FILTERED,
}
"""All others, such as a call that is malformed, are errors of the model."""


class Gemini(Dialect):
    """Gemini generateContent."""

    name = NAME

    def headers(self, api_key: str) -> dict[str, str]:
        """See `Dialect`."""
        return {"x-goog-api-key": api_key} if api_key else {}

    def encode(self, request: ModelRequest, wiring: Wiring) -> WireRequest:
        """See `Dialect`."""
        model = wiring.model if "/" in wiring.model else f"models/{wiring.model}"
        method = "streamGenerateContent?alt=sse" if wiring.stream else "generateContent"
        body = msgspec.json.encode(encode_request(request, wiring))
        return WireRequest(path=f"/{model}:{method}", body=body)

    def decoder(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> "ContentDecoder":
        """See `Dialect`."""
        return ContentDecoder(target, names=names, new_id=new_id)


class _Call(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    args: dict[str, Any] | None = None


class _Data(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    inline_data: _Data | None = None


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    index: int | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None

    def disjoint(self) -> Usage:
        """The prompt includes what was cached; what tools read comes beside it, as thoughts beside the answer."""
        cached = self.cached_content_token_count or 0
        read = (self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0)
        return Usage(
            input_tokens=max(0, read - cached),
            cached_input_tokens=cached,
            output_tokens=self.candidates_token_count or 0,
            reasoning_tokens=self.thoughts_token_count or 0,
        )


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Reply(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = msgspec.Raw()


_REPLY = msgspec.json.Decoder(_Reply)
_PART = msgspec.json.Decoder(_Part)
_NOTHING = (b"", b"null")


class ContentDecoder(ReplyDecoder):
    """Turns the chunks of one reply into deltas and, at the end, the completion."""

    def __init__(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> None:
        self._target = target
        self._names = names or {}
        self._new_id = new_id or random_id
        self._model: str | None = None
        self._response_id = ""
        self._parts: list[Part] = []
        self._pieces: list[str] = []
        self._thought = False
        self._taken: set[str] = set()
        self._finish: str | None = None
        self._blocked = False
        self._usage = Usage()

    def feed(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`. No chunk says that it is the last."""
        return [] if data[:6] == b"[DONE]" else self._chunk(data)

    def take(self, data: bytes) -> list[Delta | Completion]:
        """See `ReplyDecoder`."""
        out = self._chunk(data)
        if self._parts or self._pieces:  # older models leave out why they ended
            self._finish = self._finish or "FINISH_REASON_UNSPECIFIED"
        return out

    def _chunk(self, data: bytes) -> list[Delta | Completion]:
        try:
            reply = _REPLY.decode(data)
            out: list[Delta | Completion] = []
            if bytes(reply.error) in _NOTHING:
                self._add(reply, out)
                return out
        except msgspec.DecodeError as error:
            raise BrokenReplyError(
                self._target.where, f"it sent something that is no content ({error})"
            ) from error
        raise failure(self._target, data)

    def finish(self) -> Completion:
        """See `ReplyDecoder`."""
        if self._finish is None:
            raise BrokenReplyError(self._target.where, "the reply broke off before its end")
        self._close("")
        calls = any(isinstance(part, ToolCall) for part in self._parts)
        reason = _FILTERED if self._blocked else _FINISH.get(self._finish, FinishReason.ERROR)
        return Completion(
            message=Message(role="assistant", parts=tuple(self._parts)),
            model=self._model or self._target.model,
            finish_reason=agreed(reason, calls=calls, refused=False),
            usage=self._usage,
            stop_detail=self._finish,
            response_id=self._response_id,
        )

    def _add(self, reply: _Reply, out: list[Delta | Completion]) -> None:
        self._model = reply.model_version or self._model
        self._response_id = reply.response_id or self._response_id
        if reply.usage_metadata is not None:
            self._usage = reply.usage_metadata.disjoint()
        if reply.prompt_feedback is not None and reply.prompt_feedback.block_reason:
            self._finish, self._blocked = reply.prompt_feedback.block_reason, True
        for candidate in reply.candidates or ():
            if candidate.index:  # only one answer is ever asked for
                continue
            for raw in (candidate.content and candidate.content.parts) or ():
                self._part(raw, out)
            self._finish = candidate.finish_reason or self._finish

    def _part(self, raw: msgspec.Raw, out: list[Delta | Completion]) -> None:
        part = _PART.decode(raw)
        signature = part.thought_signature or ""
        if part.text is None:
            self._close("")
        if part.function_call is not None:
            self._call(part.function_call, signature, out)
        elif part.text is not None and part.thought:
            if part.text:
                out.append(ReasoningDelta(part.text))
            self._join(part.text, signature, thought=True)
        elif part.text is not None:
            if part.text:
                out.append(TextDelta(part.text))
            if part.text or signature:
                self._join(part.text, signature, thought=False)
        elif part.inline_data is not None and part.inline_data.mime_type.startswith("image/"):
            self._image(part.inline_data)
        else:
            self._parts.append(Opaque(origin=NAME, item=msgspec.json.decode(raw, type=dict[str, Any])))

    def _join(self, text: str, signature: str, *, thought: bool) -> None:
        """Pieces of one text become one part; a seal ends it, since it is of what came before."""
        if self._pieces and thought != self._thought:
            self._close("")
        self._thought = thought
        self._pieces.append(text)
        if signature:
            self._close(signature)

    def _close(self, signature: str) -> None:
        if not self._pieces:
            return
        text, self._pieces = "".join(self._pieces), []
        if self._thought:
            self._parts.append(Reasoning(text=text, signature=signature, origin=NAME))
        else:
            self._parts.append(Text(text=text, signature=signature))

    def _call(self, call: _Call, signature: str, out: list[Delta | Completion]) -> None:
        wire = call.name or ""
        name, arguments = self._names.get(wire, wire), call.args or {}
        tool_call_id = call.id or ""
        if not tool_call_id or tool_call_id in self._taken:
            tool_call_id = self._new_id()
        index = len(self._taken)
        self._taken.add(tool_call_id)
        self._parts.append(
            ToolCall(tool_call_id=tool_call_id, name=name, arguments=arguments, signature=signature)
        )
        out.append(ToolCallDelta(index=index, name=name, arguments=msgspec.json.encode(arguments).decode()))

    def _image(self, data: _Data) -> None:
        try:
            self._parts.append(Image(data=base64.b64decode(data.data), media_type=data.mime_type))
        except binascii.Error as error:
            raise BrokenReplyError(self._target.where, "it sent an image that is no Base64") from error
