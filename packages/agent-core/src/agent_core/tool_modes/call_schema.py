"""Schemas of calls, for models whose output is held to one: every text and list gets bounds, and the whole stays as
small as the engine can take. Pure.

A weak model that may write a string of any length writes until it is cut off, and an empty one where it may: measured
with a 135M model, whose arguments were empty strings until they had a `minLength`.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from agent_core.chat import SchemaLimits
from agent_core.json_types import JsonObject

_UNBOUNDED_BY = frozenset({"enum", "const", "format", "pattern"})
"""Strings with one of these say by themselves what they may be."""
_INSIDE_MANY = ("properties", "$defs", "definitions", "patternProperties")
_INSIDE_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_INSIDE_ONE = ("items", "additionalProperties", "not")


def closed(properties: JsonObject) -> JsonObject:
    """An object of exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def bounded(schema: JsonObject, limits: SchemaLimits) -> JsonObject:
    """`schema`, in which every string without bounds of its own has some, and every list; the rest as it stands."""
    changed: dict[str, object] = dict(schema)
    for key in _INSIDE_MANY:
        if isinstance(inner := schema.get(key), Mapping):
            fields = cast("Mapping[str, object]", inner)
            changed[key] = {name: _inside(value, limits) for name, value in fields.items()}
    for key in _INSIDE_LIST:
        if isinstance(inner := schema.get(key), Sequence) and not isinstance(inner, str):
            changed[key] = [_inside(value, limits) for value in cast("Sequence[object]", inner)]
    for key in _INSIDE_ONE:
        if key in schema:
            changed[key] = _inside(schema[key], limits)
    kind = schema.get("type")
    if kind == "string" and not _UNBOUNDED_BY & set(schema):
        changed.setdefault("maxLength", limits.string_chars)
        if schema.get("default") != "":
            changed.setdefault("minLength", min(1, cast("int", changed["maxLength"])))
    if kind == "array":
        changed.setdefault("maxItems", limits.items)
    return changed


def written(value: object) -> str:
    """A value as JSON on one line, spaced as most examples that models were trained on are."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def size_bytes(schema: JsonObject) -> int:
    """The length of the schema as JSON."""
    return len(msgspec.json.encode(schema))


def _inside(value: object, limits: SchemaLimits) -> object:
    return bounded(cast("JsonObject", value), limits) if isinstance(value, Mapping) else value
