"""Which values came out of content that nobody vouches for. Pure, and from the conversation alone.

A value is tainted where a result labelled `returns_untrusted` holds it and nothing that the person wrote does. This finds
values that are passed on as they are (an address, a link, a number, a sentence); a model that rewrites a value hides it,
so the trio rule in `policy` does not depend on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from agent_core.json_types import JsonObject
from agent_core.state import RunState
from agent_core.tools import Label, ToolResult

MIN_CHARS = 4
"""Shorter values are everywhere by chance."""


class TaintedValue(msgspec.Struct, frozen=True, kw_only=True):
    """An argument's value, and the call whose result it came out of."""

    argument: str
    """Its place in the arguments, such as `to` or `lines.0.text`."""
    value: str
    tool_call_id: str


def labels_seen(state: RunState) -> frozenset[Label]:
    """The labels of all results that the model has read, or that a plan can pass on."""
    return frozenset(label for result in _results(state) for label in result.labels)


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


def tainted_values(state: RunState, arguments: JsonObject) -> tuple[TaintedValue, ...]:
    """The values in `arguments` that came out of untrusted results of this run, in the order of the arguments."""
    sources = [
        (result.tool_call_id, _plain(result.content))
        for result in _results(state)
        if Label.RETURNS_UNTRUSTED in result.labels
    ]
    if not sources:
        return ()
    vouched = _plain("\n".join((state.instructions, *_written_by_person(state))))
    found: list[TaintedValue] = []
    for place, value in _leaves(arguments):
        text = _plain(value)
        if len(text) < MIN_CHARS or text in vouched:
            continue
        source = next((tool_call_id for tool_call_id, content in sources if text in content), "")
        if source:
            found.append(TaintedValue(argument=place, value=value, tool_call_id=source))
    return tuple(found)


def _results(state: RunState) -> Iterator[ToolResult]:
    """What was read, and what a plan holds: the model reads that later, or only the beginning of it."""
    for message in state.messages:
        if message.role == "tool":
            yield from message.tool_results
    for call in (
        (*state.finished.values(), *state.calls.values()) if state.plan_call_id or state.finished else ()
    ):
        if call.result is not None:
            yield call.result


def _written_by_person(state: RunState) -> Iterator[str]:
    for message in state.messages:
        if message.role in {"user", "system"}:
            yield message.text


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """The texts and numbers of a JSON value, each with its place."""
    match value:
        case str():
            yield place, value
        case bool() | None:
            return
        case int() | float():
            yield place, str(value)
        case Mapping():
            for key, inner in cast("Mapping[str, object]", value).items():
                yield from _leaves(inner, f"{place}.{key}" if place else key)
        case list() | tuple():
            for index, inner in enumerate(cast("Sequence[object]", value)):
                yield from _leaves(inner, f"{place}.{index}" if place else str(index))
        case _:
            return


def _plain(text: str) -> str:
    """Case and white space do not count."""
    return " ".join(text.casefold().split())
