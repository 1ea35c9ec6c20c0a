"""A schema in the form that vendors' strict modes take: every property required, nothing open, few keywords.

What the form cannot say is said in words, in the description, and still holds: `Parameters.parse` checks it. Rules as of
November 2026 (OpenAI structured outputs, Anthropic strict tools): an object at the root, `additionalProperties: false`
everywhere, optional as a union with null, no `oneOf`, `default`, `title`, bounds or patterns.
"""

from collections.abc import Mapping
from typing import Any, cast

from agent_core.json_types import JsonObject

_SAID_IN_WORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches {}",
    "format": "in the format {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
    "contentEncoding": "in {}",
}
_DROPPED = frozenset({"default", "title", "discriminator", "uniqueItems", "examples", "deprecated"})
_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
"""Formats that strict modes know."""


class NotStrictError(ValueError):
    """A schema that has no strict form: it leaves open which properties there are, or which type."""


def strict(schema: JsonObject) -> JsonObject | None:
    """The strict form of a normalised schema; None where it has none, and the tool is to be offered as it is.

    Null stands for "left out" in it: `Parameters.parse` takes it so.
    """
    try:
        root = _node(schema)
        definitions = cast("Mapping[str, object]", schema.get("$defs") or {})
        if definitions:
            root["$defs"] = {name: _node(body) for name, body in definitions.items()}
    except NotStrictError:
        return None
    return root if root.get("type") == "object" else None


def _node(schema: object) -> dict[str, Any]:
    if not isinstance(schema, dict) or not schema:
        raise NotStrictError("anything is allowed")
    node = cast("dict[str, Any]", schema)
    out: dict[str, Any] = {}
    words: list[str] = []
    for key, value in node.items():
        if (
            key in _DROPPED
            or key in {"description", "$defs"}
            or (key == "additionalProperties" and "properties" in node)
        ):
            continue
        if key in _SAID_IN_WORDS and not (key == "format" and value in _FORMATS):
            words.append(_SAID_IN_WORDS[key].format(value))
            continue
        out |= _keyword(key, value, node)
    if node.get("type") == "object" and "properties" not in node:
        raise NotStrictError("its properties are open")
    if "type" not in out and not {"$ref", "anyOf", "enum", "const"} & set(out):
        raise NotStrictError("any type is allowed")
    text = ". ".join(filter(None, (str(node.get("description", "")).rstrip("."), "; ".join(words))))
    return {**out, "description": text} if text else out


def _keyword(key: str, value: Any, node: Mapping[str, Any]) -> dict[str, Any]:
    match key:
        case "properties":
            required = set(node.get("required", ()))
            properties = {
                name: _node(inner) if name in required else _nullable(_node(inner))
                for name, inner in value.items()
            }
            return {"properties": properties, "required": list(properties), "additionalProperties": False}
        case "required":
            return {}
        case "anyOf" | "oneOf":
            return {"anyOf": [_node(inner) for inner in value]}
        case "items":
            if "prefixItems" in node:
                return {}  # `items: false` behind a tuple
            return {"items": _node(value)}
        case "prefixItems":
            kinds: list[dict[str, Any]] = []
            for inner in (_node(one) for one in value):
                if inner not in kinds:
                    kinds.append(inner)
            return {"items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}
        case "additionalProperties":
            raise NotStrictError("its properties are open")
        case _:
            return {key: value}


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    """A schema that allows null as well: how strict modes say optional."""
    if _admits_null(node):
        return node
    description = node.pop("description", "")
    kinds = node["anyOf"] if set(node) == {"anyOf"} else [node]
    union: dict[str, Any] = {"anyOf": [*kinds, {"type": "null"}]}
    return {**union, "description": description} if description else union


def _admits_null(node: Mapping[str, Any]) -> bool:
    kinds = node.get("type")
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or None in node.get("enum", ()):
        return True
    return any(_admits_null(inner) for inner in node.get("anyOf", ()))
