"""Puts the pieces of streamed tool calls together, for servers that number them and for those that do not.

Seen in the wild: no `index` at all; every index 0; indexes that begin at 1; a name or an id repeated in every piece;
arguments as an object instead of text; no id. So an index is a hint: a piece that brings a new id, or a name where
the call at hand is complete, begins a new slot.
"""

from collections.abc import Callable, Mapping

import msgspec

from agent_core.tools import ToolCall

NewId = Callable[[], str]


class Piece(msgspec.Struct, frozen=True):
    """One piece of a tool call, as it came."""

    index: int | None
    tool_call_id: str
    name: str
    arguments: str
    signature: str = ""


class _Slot:
    """A call under construction."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.tool_call_id = ""
        self.name = ""
        self.signature = ""
        self.arguments: list[str] = []

    def add(self, piece: Piece) -> None:
        self.tool_call_id = self.tool_call_id or piece.tool_call_id
        self.name = self.name or piece.name
        self.signature = self.signature or piece.signature
        if piece.arguments:
            self.arguments.append(piece.arguments)

    def is_left_by(self, piece: Piece) -> bool:
        """Whether `piece`, though it has this slot's index or none, belongs to the next call."""
        if piece.tool_call_id and self.tool_call_id:
            # vLLM once sent a fresh id with every piece of one call: only with a name is it another call.
            return piece.tool_call_id != self.tool_call_id and bool(piece.name)
        return bool(piece.name) and bool(self.name) and _is_object("".join(self.arguments))


class ToolSlots:
    """All tool calls of one reply."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: list[_Slot] = []

    def __bool__(self) -> bool:
        return bool(self._slots)

    def add(self, piece: Piece) -> int:
        """Take a piece; returns the number of the call it belongs to, counted from 0 in order of appearance."""
        place = self._place(piece)
        if place is None:
            place = len(self._slots)
            self._slots.append(_Slot(piece.index))
        self._slots[place].add(piece)
        return place

    def calls(self, names: Mapping[str, str], new_id: NewId) -> list[ToolCall]:
        """The whole calls. `names` leads from wire names to tool names; `new_id` serves calls without an id."""
        taken: set[str] = set()
        calls: list[ToolCall] = []
        for slot in self._slots:
            tool_call_id = slot.tool_call_id
            if not tool_call_id or tool_call_id in taken:
                tool_call_id = new_id()
            taken.add(tool_call_id)
            name = names.get(slot.name, slot.name)
            calls.append(tool_call(tool_call_id, name, "".join(slot.arguments), signature=slot.signature))
        return calls

    def _place(self, piece: Piece) -> int | None:
        """The slot that `piece` continues, or None where it begins one."""
        for place in range(len(self._slots) - 1, -1, -1):
            slot = self._slots[place]
            if piece.index is None or slot.index == piece.index:
                return None if slot.is_left_by(piece) else place
        return None


def tool_call(
    tool_call_id: str, name: str, arguments: str, *, signature: str = "", namespace: str = ""
) -> ToolCall:
    """A call with its arguments read; where they are no JSON object the text is kept in `malformed`."""
    value: dict[str, object] = {}
    malformed = ""
    if arguments.strip():
        try:
            value = msgspec.json.decode(arguments, type=dict[str, object])
        except msgspec.DecodeError:
            malformed = arguments
    return ToolCall(
        tool_call_id=tool_call_id,
        name=name,
        arguments=value,
        malformed=malformed,
        signature=signature,
        namespace=namespace,
    )


def _is_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return True
