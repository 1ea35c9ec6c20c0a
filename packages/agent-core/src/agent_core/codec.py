"""The journal's encoding: JSON, one object an event, tagged by `type`. Owns the schema version and the upcasters.

An event carries `v` only where its version is above 1, so most carry none. When an event type changes in a way that
a default cannot cover, its version is raised and an upcaster lifts the older form; none is needed so far.
"""

import msgspec

from agent_core.errors import CodecError
from agent_core.events import Event

SCHEMA_VERSION = 1

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """One event as a JSON object, UTF-8, without a line end."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The event in `body`. Fields that this version does not know are skipped.

    Raises:
        CodecError: not JSON, nested too deep, an unknown event type, or a field of the wrong type.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(
            f"this is no event that journal version {SCHEMA_VERSION} knows: {error}; "
            "if a newer agent-core wrote it, upgrade this one"
        ) from error
