"""What is wrong with a value of the settings, in words: which key, from where, which value, and what is allowed there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import inspect

from agent_api.errors import WrongSettingError

_PATH = re.compile(r" - at `(key in )?\$(?P<path>.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_HIDDEN = frozenset({"api_key", "headers", "environment", "oauth"})
"""What lies below these is not shown: it may be a secret."""


def wrong_value(
    key: str, value: object, kind: Any, error: msgspec.ValidationError, *, origin: str = ""
) -> WrongSettingError:
    """The error for a value that is not of its kind.

    Args:
        key: The dotted name of the setting.
        value: What it was set to.
        kind: What it should be, as a type.
        error: What `msgspec.convert` said.
        origin: Where it was set; empty: not known here.
    """
    reason = str(error)
    steps: Sequence[str] = ()
    if (found := _PATH.search(reason)) is not None:
        reason = reason[: found.start()]
        steps = [name or place for name, place in _STEP.findall(found["path"])]
    at, inner = _at(inspect.type_info(kind), value, steps)
    where = ".".join((key, *(step for step in steps if step != "...")))
    if (unknown := _UNKNOWN.fullmatch(reason)) is not None:
        known = ", ".join(sorted({name for one in _structs(at) for name in _fields(one)}))
        return WrongSettingError(
            f"{where}.{unknown[1]}", f"there is no such setting; known are: {known}", origin=origin
        )
    is_hidden = not _HIDDEN.isdisjoint(where.split("."))
    shown = "" if is_hidden or not isinstance(inner, str | int | float | bool) else f", it is {inner!r}"
    return WrongSettingError(where, f"{reason}{shown}{_allowed(at)}", origin=origin)


def _at(kind: inspect.Type, value: object, steps: Sequence[str]) -> tuple[inspect.Type, object]:
    """The kind and the value behind a path, as far as it can be followed."""
    for step in steps:
        kind = next(_behind(kind, step), inspect.AnyType())
        if isinstance(value, Mapping):
            value = cast("Mapping[str, object]", value).get(step)
        elif isinstance(value, list | tuple) and step.isdigit():
            value = cast("Sequence[object]", value)[int(step)]
        else:
            value = None
    return kind, value


def _behind(kind: inspect.Type, step: str) -> Iterator[inspect.Type]:
    for one in _options(kind):
        if isinstance(one, inspect.StructType):
            yield from (field.type for field in one.fields if field.encode_name == step)
        elif isinstance(one, inspect.DictType):
            yield one.value_type
        elif isinstance(
            one, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType
        ):
            yield one.item_type


def _options(kind: inspect.Type) -> Sequence[inspect.Type]:
    plain = kind.type if isinstance(kind, inspect.Metadata) else kind
    return plain.types if isinstance(plain, inspect.UnionType) else (plain,)


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    return (one for one in _options(kind) if isinstance(one, inspect.StructType))


def _fields(kind: inspect.StructType) -> Iterator[str]:
    return (field.encode_name for field in kind.fields)


def _allowed(kind: inspect.Type) -> str:
    """The words that are allowed, where there are only some."""
    words: list[str] = []
    for one in _options(kind):
        if isinstance(one, inspect.LiteralType):
            words += [repr(value) for value in one.values]
        elif isinstance(one, inspect.EnumType):
            words += [repr(member.value) for member in one.cls]
    return f"; allowed are: {', '.join(words)}" if words else ""
