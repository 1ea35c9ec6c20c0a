"""Whose the parts of a result are, by the labels that its tool declared for them. Pure, and of one result alone.

A path names a part: `id`, `*.id` for each item of a list (or each value of a mapping), `mail.id` for a field within. A
step may hold a condition on what it leads to: `*[status=sent].recipients` are the recipients of those mails that were sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias, cast

import msgspec

from agent_core.json_types import JsonObject
from agent_core.tools import FieldLabel, Label, ToolResult

MIN_CHARS_OF_A_SECRET = 4
"""Shorter ones are in any text by chance."""
MAX_CHARS_OF_A_FIELD = 80
"""A trusted field holds ids, names, times: what is longer is a text, and whoever could put it there wrote it."""
_STEP = re.compile(r"([^.\[]+)(?:\[([^=\]]+)=([^\]]*)\])?(?:\.(?=.)|$)")


class Item(NamedTuple):
    """Something with participants, such as a meeting."""

    names: tuple[str, ...]
    participants: tuple[str, ...]


class Parts(msgspec.Struct, frozen=True):
    """The texts of a result, by whose they are."""

    own: list[str]
    """What the tool vouches for."""
    others: list[str]
    """What anybody may have written."""
    secrets: list[str]
    """Those of both that are secret."""
    items: list[Item]
    """What is vouched for where the person named the item, and else is anybody's."""


class _Step(NamedTuple):
    key: str
    field: str
    """That decides whether the step leads on; empty: it always does."""
    value: str


_Paths: TypeAlias = tuple[tuple[tuple[_Step, ...], FieldLabel], ...]


def parted(result: ToolResult, arguments: JsonObject) -> Parts:
    """The texts of a result of a call with these arguments. What cannot be read as JSON has no fields."""
    parts = Parts([], [], [], [])
    is_read = False
    if result.fields:
        try:
            value = msgspec.json.decode(result.content)
        except msgspec.DecodeError:
            pass
        else:
            is_read = True
            paths = tuple((_steps(path), label) for path, label in result.fields.items())
            _part(value, paths, parts, {leaf for _, leaf in leaves(arguments)})
    if Label.RETURNS_UNTRUSTED not in result.labels:
        return Parts([result.content], [], parts.secrets, [])
    if not is_read:
        parts.others.append(result.content)
    return parts


def _part(value: object, paths: _Paths, parts: Parts, asked: set[str]) -> None:
    """Sort a value's texts. A key that repeats what was asked for came from nobody else."""
    here = _labels_here(paths)
    if FieldLabel.SECRET in here:
        parts.secrets.extend(leaf for _, leaf in leaves(value) if len(leaf) >= MIN_CHARS_OF_A_SECRET)
    if FieldLabel.TRUSTED in here:
        for text in _texts(value):
            (parts.own if len(text) <= MAX_CHARS_OF_A_FIELD else parts.others).append(text)
        return
    match value:
        case dict():
            _part_object(cast("dict[str, object]", value), paths, parts, asked)
        case list():
            for inner in cast("list[object]", value):
                _part(inner, _below(paths, "*", inner), parts, asked)
        case _:
            parts.others.extend(leaf for _, leaf in leaves(value))


def _part_object(value: dict[str, object], paths: _Paths, parts: Parts, asked: set[str]) -> None:
    below = {key: _below(paths, key, inner) for key, inner in value.items()}
    names = [
        leaf
        for key, inner in value.items()
        if FieldLabel.NAME in _labels_here(below[key])
        for _, leaf in leaves(inner)
    ]
    declared = {path[0].key for path, _ in paths if path}
    for key, inner in value.items():
        if key not in asked and key not in declared:
            parts.others.append(key)
        here = _labels_here(below[key])
        if FieldLabel.PARTICIPANT in here and FieldLabel.TRUSTED not in here:
            texts = tuple(_texts(inner))
            parts.others.extend(text for text in texts if len(text) > MAX_CHARS_OF_A_FIELD)
            parts.items.append(
                Item(tuple(names), tuple(text for text in texts if len(text) <= MAX_CHARS_OF_A_FIELD))
            )
        else:
            _part(inner, below[key], parts, asked)


def _labels_here(paths: _Paths) -> set[FieldLabel]:
    return {label for path, label in paths if not path}


def _texts(value: object) -> Iterator[str]:
    """The texts and numbers of a value, and the keys of its mappings: `{"anna@x.example": "may write"}` names Anna."""
    match value:
        case dict():
            for key, inner in cast("dict[str, object]", value).items():
                yield key
                yield from _texts(inner)
        case list():
            for inner in cast("list[object]", value):
                yield from _texts(inner)
        case _:
            yield from (leaf for _, leaf in leaves(value))


@cache
def _steps(path: str) -> tuple[_Step, ...]:
    """`*[status=sent].to` as steps. What is no path leads nowhere."""
    found = list(_STEP.finditer(path))
    if not path or "".join(step[0] for step in found) != path:
        return (_Step(path, "", ""),)
    return tuple(_Step(*(step[group] or "" for group in (1, 2, 3))) for step in found)


def _below(paths: _Paths, key: str, inner: object) -> _Paths:
    return tuple(
        (path[1:], label)
        for path, label in paths
        if path and path[0].key in {"*", key} and _holds(path[0], inner)
    )


def _holds(step: _Step, value: object) -> bool:
    """Whether a step leads on to a value."""
    if not step.field:
        return True
    return isinstance(value, dict) and cast("dict[str, object]", value).get(step.field) == step.value


def leaves(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """The texts and numbers of a JSON value, each with its place, such as `to` or `lines.0.text`."""
    match value:
        case str():
            yield place, value
        case bool() | None:
            return
        case int() | float():
            yield place, str(value)
        case Mapping():
            for key, inner in cast("Mapping[str, object]", value).items():
                yield from leaves(inner, f"{place}.{key}" if place else key)
        case list() | tuple():
            for index, inner in enumerate(cast("Sequence[object]", value)):
                yield from leaves(inner, f"{place}.{index}" if place else str(index))
        case _:
            return


def keys(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """The keys within a JSON value, each with the place of its mapping: `to` for each of `{"to": {"anna@x.example": true}}`."""
    match value:
        case Mapping():
            for key, inner in cast("Mapping[str, object]", value).items():
                yield place, key
                yield from keys(inner, f"{place}.{key}" if place else key)
        case list() | tuple():
            for index, inner in enumerate(cast("Sequence[object]", value)):
                yield from keys(inner, f"{place}.{index}" if place else str(index))
        case _:
            return
