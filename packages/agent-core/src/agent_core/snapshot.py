"""A run's state as bytes: what a journal keeps beside a long run, so that resuming it costs the same at any length.

A snapshot is a shortcut and never the truth: one that is missing, damaged, or of another version is passed over, and the
journal is folded from its first event.
"""

import zlib
from typing import cast, get_origin

import msgspec

from agent_core.history import History
from agent_core.messages import Message
from agent_core.state import RunState

SNAPSHOT_VERSION = b"4:"
"""To be raised with every change of `RunState`, or of how events change it, after which an older snapshot would lie."""

SNAPSHOT_EVERY = 100
"""A run gets a snapshot when it comes to rest for the first time behind each multiple of so many events."""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    state: bytes
    messages: list[Message]


_decoder = msgspec.msgpack.Decoder(_State)


def pack(state: RunState) -> bytes:
    """The state, deflated: some hundred bytes where few words were said."""
    rest = msgspec.structs.replace(state, messages=History())
    body = _State(state=msgspec.msgpack.encode(rest, enc_hook=_as_list), messages=list(state.messages))
    return SNAPSHOT_VERSION + zlib.compress(msgspec.msgpack.encode(body))


def unpack(body: bytes) -> RunState | None:
    """The state in `body`; None: it is damaged, or of another version."""
    if not body.startswith(SNAPSHOT_VERSION):
        return None
    try:
        read = _decoder.decode(zlib.decompress(body[len(SNAPSHOT_VERSION) :]))
        state = msgspec.msgpack.decode(read.state, type=RunState, dec_hook=_as_history)
    except (zlib.error, msgspec.DecodeError):
        return None
    return msgspec.structs.replace(state, messages=History(read.messages))


def _as_list(value: object) -> list[object]:
    if isinstance(value, History):
        return list(cast("History[object]", value))
    raise NotImplementedError(f"{type(value).__name__} has no place in a state")


def _as_history(kind: object, value: object) -> object:
    """An empty `History` for the messages, which are beside the state; whatever else comes here is plain JSON."""
    return History[object]() if get_origin(kind) is History else value
