"""One journal event as JSON: what `agent run --json` prints and what the event stream carries."""

from functools import cache

import msgspec

from agent_core.chat import Delta
from agent_core.events import OutcomeStored, event_type
from agent_core.ports import StoredEvent
from agent_core.state import RunState

_encoder = msgspec.json.Encoder()

RUN_FINISHED = "run.finished"


def event_object(stored: StoredEvent, state: RunState) -> dict[str, object]:
    """The event with its number; the one that ends a run is shown as `run.finished` with what came of it.

    Args:
        stored: The event.
        state: The state that the event led to.
    """
    if state.is_over:
        return {
            "seq": stored.seq,
            "type": RUN_FINISHED,
            "at": state.updated_at,
            "run_id": state.run_id,
            "session_id": state.session_id,
            "status": state.phase.value,
            "answer": state.answer if isinstance(stored.event, OutcomeStored) else "",
            "usage": msgspec.to_builtins(state.usage),
            **({"limit_reached": state.limit_reached} if state.limit_reached else {}),
            **({"error": state.error} if state.error else {}),
        }
    fields: dict[str, object] = msgspec.to_builtins(stored.event)
    return {"seq": stored.seq, **fields, "at": state.updated_at}  # a verdict by rule has no time of its own


def event_line(stored: StoredEvent, state: RunState) -> bytes:
    """`event_object` as one line of JSON, without its end."""
    return _encoder.encode(event_object(stored, state))


def event_frame(stored: StoredEvent, state: RunState) -> bytes:
    """The event as a server-sent event whose id is its number, so that a client can resume behind it."""
    name = RUN_FINISHED if state.is_over else event_type(stored.event)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (stored.seq, name.encode(), event_line(stored, state))


def delta_line(delta: Delta) -> bytes:
    """A delta as one line of JSON, without its end."""
    return _encoder.encode(delta)


def delta_frame(delta: Delta) -> bytes:
    """A delta as a server-sent event without an id: it is not in the journal and is never sent again."""
    return _delta_head(type(delta)) + _encoder.encode(delta) + b"\n\n"


@cache
def _delta_head(kind: type[Delta]) -> bytes:
    return f"event: {kind.__struct_config__.tag}\ndata: ".encode()
