"""References from one call's arguments to the result of another: `{"$ref": "a"}`, `{"$ref": "a", "path": "x.0.y"}`. Pure.

A reference stands for the whole result of the call, or for the part at its path: names and list places joined by dots.
A result that is JSON is decoded, any other is text. What is filled in is not looked at again, so a result that holds
something like a reference stays what it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from agent_core.json_types import JsonObject

REF, PATH = "$ref", "path"
MAX_DEPTH = 32
"""How deep arguments with references may be nested."""


class Reference(msgspec.Struct, frozen=True):
    """A place in the result of a call."""

    tool_call_id: str
    path: str = ""
    """Empty: the whole result."""


def fault(arguments: JsonObject) -> str:
    """What is wrong with the form of the references in `arguments`, in words for the model; empty: nothing."""
    for value, depth in _objects(arguments):
        if depth > MAX_DEPTH:
            return f"arguments are nested deeper than {MAX_DEPTH}"
        if REF in value and _read(value) is None:
            return f'a reference is {{"{REF}": call id}} or {{"{REF}": call id, "{PATH}": "a.0.b"}}, not {dict(value)}'
    return ""


def sources(arguments: JsonObject) -> tuple[str, ...]:
    """The ids of the calls whose results `arguments` take in, in the order in which they are found."""
    return tuple(dict.fromkeys(reference.tool_call_id for reference in _references(arguments)))


def missing(arguments: JsonObject, results: Mapping[str, str]) -> str:
    """The reason why a reference in `arguments` leads nowhere, in words for the model; empty: all lead somewhere.

    Args:
        arguments: Arguments without a fault.
        results: The texts of results by call id; there is one for every source.
    """
    for reference in _references(arguments):
        _, reason = _value(reference, results)
        if reason:
            return reason
    return ""


def filled(arguments: JsonObject, results: Mapping[str, str]) -> JsonObject:
    """`arguments` with the values in place of the references, none of which is `missing`."""
    return {key: _filled(value, results) for key, value in arguments.items()}


def decoded(content: str) -> object:
    """The JSON value that `content` is, or `content` itself."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return content


def _objects(arguments: JsonObject) -> Iterator[tuple[JsonObject, int]]:
    """Every object in `arguments` with its depth, in reading order; a stack, for a model may nest as deep as it likes."""
    rest: list[tuple[object, int]] = [(value, 1) for value in reversed([*arguments.values()])]
    while rest:
        value, depth = rest.pop()
        if isinstance(value, Mapping):
            inner = cast("JsonObject", value)
            yield inner, depth
            rest.extend((one, depth + 1) for one in reversed([*inner.values()]))
        elif isinstance(value, list | tuple):
            rest.extend((one, depth + 1) for one in reversed(cast("Sequence[object]", value)))


def _references(arguments: JsonObject) -> Iterator[Reference]:
    for value, _ in _objects(arguments):
        reference = _read(value)
        if reference is not None:
            yield reference


def _read(value: JsonObject) -> Reference | None:
    call, path = value.get(REF), value.get(PATH, "")
    if not isinstance(call, str) or not isinstance(path, str) or not value.keys() <= {REF, PATH}:
        return None
    return Reference(call, path)


def _filled(value: object, results: Mapping[str, str]) -> object:
    if isinstance(value, Mapping):
        inner = cast("JsonObject", value)
        reference = _read(inner)
        return filled(inner, results) if reference is None else _value(reference, results)[0]
    if isinstance(value, list | tuple):
        return [_filled(one, results) for one in cast("Sequence[object]", value)]
    return value


def _value(reference: Reference, results: Mapping[str, str]) -> tuple[object, str]:
    """The value that `reference` stands for, or the reason why there is none."""
    value = decoded(results[reference.tool_call_id])
    for step in reference.path.split(".") if reference.path else ():
        match value:
            case Mapping() if step in value:
                value = cast("JsonObject", value)[step]
            case list() if step.isdecimal() and int(step) < len(cast("list[object]", value)):
                value = cast("list[object]", value)[int(step)]
            case _:
                return None, _nowhere(reference, step, value)
    return value, ""


def _nowhere(reference: Reference, step: str, value: object) -> str:
    match value:
        case Mapping():
            there = f"there are {', '.join(sorted(map(str, cast('JsonObject', value)))[:20]) or 'no names'}"
        case list():
            there = f"it is a list of {len(cast('list[object]', value))}"
        case _:
            there = "it is no object and no list"
    return (
        f"The result of {reference.tool_call_id} has nothing at {reference.path!r}: no {step!r}, {there}. "
        "Propose the calls that are left with a path that exists."
    )
