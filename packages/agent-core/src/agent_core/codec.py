"""The journal's encoding: JSON, one object an event, tagged by `type`. Owns the schema version.

What another version wrote is read as well. Older: an event that does not fit is lifted by `upcasters`, so events of all
versions may stand in one journal, and none carries a version number. Newer: fields that this version does not know, in
the event or in anything in it, are kept in `Event.unknown`, and `encode` writes them again where they stood. A type of
event or of part that it does not know cannot be folded and is refused.
"""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec.structs import replace

from agent_core.errors import CodecError
from agent_core.events import Event
from agent_core.upcasters import SCHEMA_VERSION, Fields, lifted

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """One event as a JSON object, UTF-8, without a line end."""
    if event.unknown is None:
        return _encoder.encode(event)
    known = msgspec.to_builtins(replace(event, unknown=None))
    return _encoder.encode(_overlaid(known, event.unknown))


def decode(body: bytes) -> Event:
    """The event in `body`, whichever version wrote it.

    Raises:
        CodecError: not JSON, nested too deep, an unknown event type, or a field of the wrong type.
    """
    try:
        event = _decoder.decode(body)
        if len(body) == len(_encoder.encode(event)):
            return event
        return _with_unknown(event, msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _decode_older(body, error)


def _decode_older(body: bytes, error: Exception) -> Event:
    try:
        fields = lifted(msgspec.json.decode(body))
        if fields is not None:
            return _with_unknown(msgspec.convert(fields, Event), fields)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise CodecError(
        f"this is no event that journal version {SCHEMA_VERSION} knows: {error}; "
        "if a newer agent-core wrote it, upgrade this one"
    ) from error


def _with_unknown(event: Event, fields: Fields) -> Event:
    """The event with those of the `fields` it was read from that it does not know."""
    unknown = _missing(fields, msgspec.to_builtins(event))
    return replace(event, unknown=unknown) if unknown else event


def _missing(read: object, known: object) -> Fields | None:
    """What of `read` is not in `known`, in the same shape; None: nothing."""
    theirs, ours = _entries(read), _entries(known)
    if theirs is None or ours is None:
        return None
    found: Fields = {}
    for key, value in theirs.items():
        if key not in ours:
            found[key] = value
        elif (inner := _missing(value, ours[key])) is not None:
            found[key] = inner
    return found or None


def _overlaid(known: object, unknown: object) -> object:
    """`known` with what `_missing` found put back where it stood, as far as that place is still there."""
    ours, theirs = _entries(known), _entries(unknown)
    if ours is None or theirs is None:
        return known
    both = ours | {
        key: _overlaid(ours[key], value) if key in ours else value for key, value in theirs.items()
    }
    return both if isinstance(known, dict) else [both[key] for key in ours]


def _entries(value: object) -> Fields | None:
    """What is in an object by name, and in an array by place; None: it is neither."""
    if isinstance(value, dict):
        return cast("Fields", value)
    if isinstance(value, list | tuple):
        return {str(place): one for place, one in enumerate(cast("Sequence[object]", value))}
    return None
