"""What engines with replies of their own shape say, piece by piece, as deltas and one completion. Pure but for ids."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from types import MappingProxyType

import msgspec

from agent_core.chat import Completion, Delta, TextDelta, ToolCallDelta
from agent_core.messages import FinishReason, Message, Part, Text, Usage
from agent_core.tools import ToolCall
from agent_gateway.engines.held_calls import read_call

_FINISH = {
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "abort": FinishReason.CANCELLED,
}


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What one chunk adds."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    """In the engine's words; empty while it goes on."""
    usage: Usage | None = None
    """Of the whole reply so far."""


class Reply:
    """One reply. Feed `take` with its pieces, then ask for its `end`."""

    def __init__(
        self, model: str, *, names: Mapping[str, str] = MappingProxyType({}), held: bool = False
    ) -> None:
        """`names` are wire name -> tool name; `held`: the text is to be a call, and is not shown as text."""
        self._model = model
        self._names = names
        self._held = held
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish = ""
        self._usage = Usage()

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._text)

    def take(self, piece: Piece) -> Iterator[Delta]:
        """What `piece` shows."""
        self._finish = piece.finish or self._finish
        self._usage = piece.usage or self._usage
        if piece.text:
            self._text.append(piece.text)
            if not self._held:
                yield TextDelta(piece.text)
        for call in piece.calls:
            yield self._called(call)

    def end(self) -> Iterator[Delta | Completion]:
        """What is left to show, and the completion."""
        text = self.text
        if self._held and not self._calls:
            call = read_call(text, self._names, new_call_id())
            if call is not None:
                yield self._called(call)
            elif text:  # cut off at the token limit
                yield TextDelta(text)
        if self._held and self._calls:
            text = ""
        parts: list[Part] = [Text(text=text)] if text else []
        finish = _FINISH.get(self._finish, FinishReason.STOP)
        if self._calls and finish is FinishReason.STOP:
            finish = FinishReason.TOOL_CALLS
        yield Completion(
            message=Message(role="assistant", parts=(*parts, *self._calls)),
            model=self._model,
            finish_reason=finish,
            usage=self._usage,
        )

    def _called(self, call: ToolCall) -> Delta:
        index = len(self._calls)
        self._calls.append(call)
        arguments = call.malformed or msgspec.json.encode(call.arguments).decode()
        return ToolCallDelta(index=index, name=call.name, arguments=arguments)


async def as_call(
    items: AsyncIterator[Delta | Completion], reply: Reply
) -> AsyncGenerator[Delta | Completion]:
    """The items of a reply that was held to a call, with the call in its text as a call."""
    async for item in items:
        if isinstance(item, TextDelta):
            for delta in reply.take(Piece(text=item.text)):
                yield delta
        elif isinstance(item, Completion):
            for delta in reply.take(Piece(finish=item.finish_reason.value, usage=item.usage)):
                yield delta
            for last in reply.end():
                yield last
        else:
            yield item


def new_call_id() -> str:
    """An id for a call that came without one."""
    return f"call_{secrets.token_hex(12)}"


def call_of(name: str, arguments: str, names: Mapping[str, str], tool_call_id: str = "") -> ToolCall:
    """A call by the text of its arguments; text that is no JSON object is kept as `malformed`."""
    key, tool = tool_call_id or new_call_id(), names.get(name, name)
    try:
        fields = msgspec.json.decode(arguments or "{}", type=dict[str, object])
    except msgspec.DecodeError:
        return ToolCall(tool_call_id=key, name=tool, arguments={}, malformed=arguments)
    return ToolCall(tool_call_id=key, name=tool, arguments=fields)
