"""From the journals of older versions to this one, a function a version. Pure, and kept for ever.

An older event is known by its shape: it does not decode as one of this version. So a change that needs an upcaster must
be one that the decoder refuses (a required field that is missing, another type), never one that it misreads.

Version 1 (before the first release) wrote whole messages and results inside events, and every name in full.
"""

from collections.abc import Callable
from typing import TypeAlias, cast

SCHEMA_VERSION = 2

Fields: TypeAlias = dict[str, object]

_USAGE = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cached_input_tokens": "cached_input",
    "reasoning_tokens": "reasoning",
}


def lifted(fields: object) -> Fields | None:
    """The event in the form of this version; None: it is no JSON object."""
    if not isinstance(fields, dict):
        return None
    event = cast("Fields", fields)
    for upcast in UPCASTERS:
        event = upcast(event)
    return event


def _from_1(event: Fields) -> Fields:
    event = cast("Fields", _parts_from_1(event))
    message, result = event.pop("message", None), event.pop("result", None)
    if isinstance(message, dict):
        event["parts"] = cast("Fields", message).get("parts")
    if isinstance(result, dict):
        event |= {key: value for key, value in cast("Fields", result).items() if key != "type"}
    if "tool_call_id" in event:
        event["call"] = event.pop("tool_call_id")
    usage = event.get("usage")
    if isinstance(usage, dict):
        counts = cast("Fields", usage)
        event["usage"] = {_USAGE.get(name, name): count for name, count in counts.items()}
    return event


def _parts_from_1(value: object) -> object:
    """Calls and results, wherever in the event they are, but for what a model wrote as arguments."""
    if isinstance(value, list):
        return [_parts_from_1(one) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Fields", value)
    inner = {key: one if key == "arguments" else _parts_from_1(one) for key, one in fields.items()}
    match inner.get("type"):
        case "tool_call":
            inner = {("id" if key == "tool_call_id" else key): one for key, one in inner.items()}
            inner["type"] = "call"
        case "tool_result":
            inner = {("call" if key == "tool_call_id" else key): one for key, one in inner.items()}
            inner["type"] = "result"
        case _:
            pass
    return inner


UPCASTERS: tuple[Callable[[Fields], Fields], ...] = (_from_1,)
"""From version 1 on, in order: each lifts an event by one version."""
