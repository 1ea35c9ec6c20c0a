"""Whose word a value is. Pure, and from the conversation alone.

A run reads three kinds of text: what the person wrote, what a tool vouches for (a result that is not labelled
`returns_untrusted`, or a trusted field of one that is), and what anybody may have written: the rest. From this follow
two questions about an argument of a call. *Is it tainted*: does untrusted content hold it, and not the person's words?
*Is it vouched for*: do the person's words hold it, or a tool's own data and no untrusted content? A value that a model
rewrote is neither; where that matters, a policy asks the second question.

Untrusted content that names a known value taints it, for it may be what made the model choose it. What a tool only repeats
from its own arguments it does not vouch for, and nothing that was looked up by a tainted argument either.

Apart from that, secrets are remembered as such, by the fields that they were read from.

The idea of labels on parts of results, and of asking which arguments decide, is that of CaMeL (arXiv 2503.18813) and FIDES
(arXiv 2505.23643). They follow values through a program or a planner of their own; here they are found again by
their text, so that any model and any loop can be judged.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import msgspec

from agent_core.json_types import JsonObject
from agent_core.state import RunState
from agent_core.tools import FieldLabel, Label, ToolResult

MIN_CHARS = 4
"""Shorter values are in any text by chance, so none is tainted."""
MAX_CHARS_OF_A_FIELD = 80
"""A trusted field holds ids, names, times: what is longer is a text, and whoever could put it there wrote it."""
_NOT_BEFORE, _NOT_AFTER = r"(?<![\w@+-])(?<!\w\.)", r"(?![\w@-]|[./?&=:#]\w)"
"""A value counts as named where it stands whole: `smith@x.example` is not named by `j.smith@x.example`."""
_LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"'()\[\]]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
_SCHEME = re.compile(r"^https?://|/+$")


class Untrusted(msgspec.Struct, frozen=True):
    """What anybody may have written, of one result."""

    tool_call_id: str
    text: str
    read_at: int
    """The place of the message that holds it."""


class OwnData(msgspec.Struct, frozen=True):
    """What a tool vouches for, of one result."""

    text: str
    arguments: JsonObject
    """Of its call."""
    made_at: int
    """The place of the message that made the call."""


class Provenance:
    """What a run has read, by who vouches for it."""

    def __init__(self, state: RunState) -> None:
        self.said: str = _plain("\n".join((state.instructions, *_written_by_person(state))))
        self.untrusted: list[Untrusted] = []
        self.own: list[OwnData] = []
        self.labels: frozenset[Label] = labels_seen(state)
        self.secrets: list[tuple[str, str]] = []
        calls = _calls(state)
        for place, result in _results(state):
            arguments, made_at = calls.get(result.tool_call_id, ({}, place))
            parts = _parted(result, arguments)
            if parts.own:
                self.own.append(OwnData(_plain("\n".join(parts.own)), arguments, made_at))
            if parts.others:
                self.untrusted.append(Untrusted(result.tool_call_id, _plain("\n".join(parts.others)), place))
            self.secrets.extend((_plain(secret), result.tool_call_id) for secret in parts.secrets)

    def taint(self, value: str, *, before: int | None = None) -> str:
        """The call whose result a value came out of, though the person did not name it; empty: none.

        `before` leaves out what was read at that message or later.
        """
        text = _plain(value)
        if len(text) < MIN_CHARS or _names(self.said, text):
            return ""
        for source in self.untrusted:
            if text in source.text and (before is None or source.read_at < before):
                return source.tool_call_id
        return ""

    def said_it(self, value: str) -> bool:
        """Whether the person wrote this value."""
        text = _plain(value)
        return not text or _names(self.said, text)

    def stands(self, value: str) -> bool:
        """Whether a result holds this value whole, so that a model can have added nothing to it."""
        text = _plain(value)
        read = [source.text for source in self.untrusted] + [source.text for source in self.own]
        return any(_names(one, text) for one in read)

    def secret(self, value: str) -> str:
        """The call that a secret within a value came from, though the person did not write it; empty: there is none."""
        text = _plain(value)
        for secret, source in self.secrets:
            if _names(text, secret) and not _names(self.said, secret):
                return source
        return ""

    def vouches(self, value: str) -> bool:
        """Whether the person named it, or a tool's own data holds it and untrusted content does not."""
        text = _plain(value)
        if self.said_it(value):
            return True
        if self._may_be_chosen(text):
            return False
        return any(_names(source.text, text) and self._is_sound(source, text) for source in self.own)

    def _may_be_chosen(self, text: str) -> bool:
        """Whether untrusted content holds a value, and not by chance, as any text holds a `5`."""
        if len(text) >= MIN_CHARS:
            return any(text in source.text for source in self.untrusted)
        return not text.isdigit() and any(_names(source.text, text) for source in self.untrusted)

    def _is_sound(self, source: OwnData, text: str) -> bool:
        """Whether a tool found a value itself, and by nothing that untrusted content asked for."""
        given = [leaf for _, leaf in leaves(source.arguments)]
        return not any(
            text in _plain(leaf) or _plain(leaf) == text or self.taint(leaf, before=source.made_at)
            for leaf in given
        )

    def tainted_link(self, value: str) -> tuple[str, str]:
        """The first address within a text that is tainted, and the call that it came out of; both empty: none is."""
        for found in _LINK.finditer(value):
            link = found.group().rstrip(".,;:!?")
            if source := self.taint(_SCHEME.sub("", link)):
                return link, source
        return "", ""


def labels_seen(state: RunState) -> frozenset[Label]:
    """The labels of all results that the model has read, or that a plan can pass on."""
    return frozenset(label for _, result in _results(state) for label in result.labels)


def tainted_source(state: RunState, tool_call_id: str) -> str:
    """The call of an untrusted result that the arguments of this call refer to, directly or not; empty: none."""
    known = {**state.finished, **state.calls}
    rest, looked = [tool_call_id], {tool_call_id}
    while rest:
        call = known.get(rest.pop())
        for source in call.sources if call is not None else ():
            result = known[source].result if source in known else None
            if result is not None and Label.RETURNS_UNTRUSTED in result.labels:
                return source
            if source not in looked:
                looked.add(source)
                rest.append(source)
    return ""


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


def _results(state: RunState) -> Iterator[tuple[int, ToolResult]]:
    """What was read, and what a plan holds: the model reads that later, or only the beginning of it."""
    for place, message in enumerate(state.messages):
        if message.role == "tool":
            for result in message.tool_results:
                yield place, result
    held = (*state.finished.values(), *state.calls.values()) if state.plan_call_id or state.finished else ()
    for call in held:
        if call.result is not None:
            yield len(state.messages), call.result


def _calls(state: RunState) -> dict[str, tuple[JsonObject, int]]:
    """The arguments of each call, and the place of the message that made it."""
    found: dict[str, tuple[JsonObject, int]] = {}
    for key, one in {**state.finished, **state.calls}.items():
        found[key] = one.call.arguments, len(state.messages)
    for place, message in enumerate(state.messages):
        if message.role == "assistant":
            for call in message.tool_calls:
                found[call.tool_call_id] = call.arguments, place
    return found


def _written_by_person(state: RunState) -> Iterator[str]:
    for message in state.messages:
        if message.role in {"user", "system"}:
            yield message.text


class _Parts(msgspec.Struct, frozen=True):
    """The texts of a result: what the tool vouches for, what anybody wrote, and those of both that are secret."""

    own: list[str]
    others: list[str]
    secrets: list[str]


_Paths: TypeAlias = tuple[tuple[tuple[str, ...], FieldLabel], ...]


def _parted(result: ToolResult, arguments: JsonObject) -> _Parts:
    """The texts of a result. What cannot be read as JSON has no fields."""
    is_untrusted = Label.RETURNS_UNTRUSTED in result.labels
    parts = _Parts([], [], [])
    if result.fields:
        try:
            value = msgspec.json.decode(result.content)
        except msgspec.DecodeError:
            pass
        else:
            paths = tuple((tuple(path.split(".")), label) for path, label in result.fields.items())
            _part(value, paths, parts, {leaf for _, leaf in leaves(arguments)})
            if is_untrusted:
                return parts
    (parts.others if is_untrusted else parts.own).append(result.content)
    return parts


def _part(value: object, paths: _Paths, parts: _Parts, asked: set[str]) -> None:
    """Sort a value's texts. A key that repeats what was asked for came from nobody else."""
    here = {label for path, label in paths if not path}
    if FieldLabel.SECRET in here:
        parts.secrets.extend(leaf for _, leaf in leaves(value) if len(leaf) >= MIN_CHARS)
    if FieldLabel.TRUSTED in here:
        for _, leaf in leaves(value):
            (parts.own if len(leaf) <= MAX_CHARS_OF_A_FIELD else parts.others).append(leaf)
        return
    match value:
        case dict():
            for key, inner in cast("dict[str, object]", value).items():
                if key not in asked and all(path[:1] != (key,) for path, _ in paths):
                    parts.others.append(key)
                _part(inner, _below(paths, key), parts, asked)
        case list():
            for inner in cast("list[object]", value):
                _part(inner, _below(paths, "*"), parts, asked)
        case _:
            parts.others.extend(leaf for _, leaf in leaves(value))


def _below(paths: _Paths, key: str) -> _Paths:
    return tuple((path[1:], label) for path, label in paths if path and path[0] in {"*", key})


def names(text: str, value: str) -> bool:
    """Whether a text holds a value whole. Case, white space, how an address begins and a `/` at its end do not count."""
    return _names(_plain(text), _plain(value))


def _names(text: str, value: str) -> bool:
    """As `names`, of what is plain already."""
    bare = _SCHEME.sub("", value)
    return bool(bare) and re.search(f"{_NOT_BEFORE}{re.escape(bare)}{_NOT_AFTER}", text) is not None


def _plain(text: str) -> str:
    """Case and white space do not count."""
    return " ".join(text.casefold().split())
