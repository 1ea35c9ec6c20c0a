"""Whose word a value is. Pure, and from the conversation alone.

A run reads three kinds of text: what the person wrote, what a tool vouches for (a result that is not labelled
`returns_untrusted`, or a trusted field of one that is), and what anybody may have written: the rest. From this follow
two questions about an argument of a call. *Is it tainted*: does untrusted content hold it, and not the person's words?
*Is it vouched for*: do the person's words hold it, or a tool's own data and no untrusted content? A value that a model
rewrote is neither; where that matters, a policy asks the second question. How a person's words hold a value in another
spelling is in `naming`, which parts of a result are whose in `fields`.

Untrusted content that names a known value taints it, for it may be what made the model choose it. What a tool only repeats
from its own arguments it does not vouch for, and nothing that was looked up by a tainted argument either.

Apart from that, secrets are remembered as such, by the fields that they were read from.

The idea of labels on parts of results, and of asking which arguments decide, is that of CaMeL (arXiv 2503.18813) and FIDES
(arXiv 2505.23643). They follow values through a program or a planner of their own; here they are found again by
their text, so that any model and any loop can be judged.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

import msgspec

from agent_core.fields import Item, keys, leaves, parted
from agent_core.hiding import holds_hidden
from agent_core.json_types import JsonObject
from agent_core.messages import Message
from agent_core.naming import (
    addresses_in,
    called_by_name,
    holds_exactly,
    holds_link,
    is_web_address,
    may_be_address,
    parted_sentences,
    plain,
    said_as,
    stands_in,
    without_scheme,
)
from agent_core.planning import CallState
from agent_core.recollection import recollections, without_recalled
from agent_core.state import RunState
from agent_core.tools import Label, ToolCall, ToolResult

RECALLED = "memory"
"""Stands for the call where a value came out of what was recalled."""
_OF_RECOLLECTIONS = (Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED)
MIN_CHARS = 4
"""Shorter values are in any text by chance, so none is tainted."""
_LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,30}://|www\.)[^\s<>\"'()\[\]]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
"""Bounded before the sign that makes it one: a long text without spaces was read once for each of its characters."""


class Untrusted(msgspec.Struct, frozen=True):
    """What anybody may have written, of one result."""

    tool_call_id: str
    text: str
    listed: str
    """Participants of items that the person did not name. They are no word on anything, but out of this result they are."""
    written: str
    """All of it, as it was written."""
    read_at: int
    """The place of the message that holds it."""

    def holds(self, text: str) -> bool:
        """Whether a plain text came with it."""
        return text in self.text or text in self.listed


class OwnData(msgspec.Struct, frozen=True):
    """What a tool vouches for, of one result."""

    text: str
    written: str
    is_private: bool
    arguments: JsonObject
    """Of its call."""
    made_at: int
    """The place of the message that made the call."""


class Provenance:
    """What a run has read, by who vouches for it."""

    def __init__(self, state: RunState) -> None:
        self._written = parted_sentences("\n".join((state.instructions, *_written_by_person(state))))
        self.said: str = plain(self._written)
        self.untrusted: list[Untrusted] = []
        self.own: list[OwnData] = []
        self.labels: frozenset[Label] = labels_seen(state)
        self._messages = state.messages
        self._sound: dict[tuple[int, str], bool] = {}
        self._holders: dict[str, list[OwnData]] = {}
        self.secrets: list[tuple[str, str]] = []
        self.is_delegated: bool = bool(state.parent_id) and {*_OF_RECOLLECTIONS} <= {*state.read_before}
        """A model gave this run its task, once it had read private and untrusted content."""
        self._before: frozenset[Label] = frozenset(state.read_before)
        """The labels of what was there before the first call."""
        if recalled := _recalled(state):
            self._before |= {*_OF_RECOLLECTIONS}
            text = "\n".join(recalled)
            self.untrusted.append(Untrusted(RECALLED, plain(text), "", text, 0))
        calls, read = _made_and_read(state)
        self._given = [(made_at, plain(text)) for given, made_at in calls for text in _words_of(given)]
        sorted_parts = [parted(result, arguments) for _, result, arguments, _ in read]
        named = _named(self._written, [item for parts in sorted_parts for item in parts.items])
        for (place, result, arguments, made_at), parts in zip(read, sorted_parts, strict=True):
            own = "\n".join([*parts.own, *_participants(item for item in parts.items if item in named)])
            if result.is_error:  # it says what was wrong with the call, often in the words of the call
                own = ""
            listed = "\n".join(_participants(item for item in parts.items if item not in named))
            if own:
                is_private = Label.READS_PRIVATE in result.labels
                self.own.append(OwnData(plain(own), own, is_private, arguments, made_at))
            if parts.others or listed:
                others = "\n".join(parts.others)
                written = f"{others}\n{listed}"
                self.untrusted.append(
                    Untrusted(result.tool_call_id, plain(others), plain(listed), written, place)
                )
            self.secrets.extend((secret, result.tool_call_id) for secret in parts.secrets)

    def taint(self, value: str, *, before: int | None = None) -> str:
        """The call whose result a value came out of, though the person did not name it; empty: none.

        `before` leaves out what was read at that message or later.
        """
        text = plain(value)
        if len(text) < MIN_CHARS or stands_in(self.said, text):
            return ""
        for source in self.untrusted:
            if source.holds(text) and (before is None or source.read_at < before):
                return source.tool_call_id
        return ""

    def said_it(self, value: str) -> bool:
        """Whether the person wrote this value."""
        text = plain(value)
        return not text or stands_in(self.said, text)

    def leads_to(self, value: str) -> bool:
        """Whether the person or a tool's own data names a source, so that reading from it tells nobody anything.

        The person's words may be searched for, but not what a tool read in private, unless it is an address of its own.
        """
        if is_web_address(value):
            return holds_exactly(self._written, value) or self._own_holds(value, self.own)
        # What lacks the beginning of an address may be opened all the same: capitals in it say something too.
        is_said = holds_exactly(self._written, value) if may_be_address(value) else self.said_it(value)
        return is_said or self._own_holds(value, [one for one in self.own if not one.is_private])

    def _own_holds(self, value: str, own: Iterable[OwnData]) -> bool:
        text = plain(value)
        return not self._may_be_chosen(text) and any(
            holds_exactly(one.written, value) and self._is_sound(one, text) for one in own
        )

    def stands(self, value: str) -> bool:
        """Whether untrusted content holds this value letter for letter, so that a model can have added nothing to it.

        An address has to stand there as a whole: which beginning of a long one is opened says something.
        """
        is_held = holds_link if is_web_address(value) or may_be_address(value) else holds_exactly
        return any(is_held(source.written, value) for source in self.untrusted)

    def bits(self, value: str) -> float:
        """How much is told by opening this value that stands in untrusted content, and no other that stands there."""
        if is_web_address(value) or may_be_address(value):
            return 1 + math.log2(1 + len(self._addresses))
        return 2 * math.log2(1 + sum(len(source.written.split()) for source in self.untrusted))

    @cached_property
    def _addresses(self) -> set[str]:
        return {address for source in self.untrusted for address in addresses_in(source.written)}

    def secret(self, value: str) -> str:
        """The call that a secret within a value came from, though the person did not write it; empty: there is none.

        In another writing it is one too; see `hiding`.
        """
        text = plain(value)
        for secret, source in self.secrets:
            is_held = stands_in(text, plain(secret)) or holds_hidden(value, secret)
            if is_held and not stands_in(self.said, plain(secret)):
                return source
        return ""

    def vouches(self, value: str) -> bool:
        """Whether the person named it, or a tool's own data holds it and untrusted content does not.

        What the person called by a name they named, if a tool's own data holds it and no other of that name.
        """
        text = plain(value)
        if self.said_it(value):
            return True
        if not any(stands_in(source.text, text) and self._is_sound(source, text) for source in self.own):
            return False
        if not self._may_be_chosen(text):
            return True
        return called_by_name(self._written, text, (source.text for source in self.own))

    def calls_since(self, label: Label, *, until: str) -> Iterator[ToolCall]:
        """The calls that were made once a result with this label was read, up to the one with this id, if it is of the last
        message that made any: calls of earlier turns may have had the same id.
        """
        was_read = label in self._before
        last = max((place for place, one in enumerate(self._messages) if one.tool_calls), default=-1)
        for place, message in enumerate(self._messages):
            for call in message.tool_calls if was_read else ():
                if place == last and call.tool_call_id == until:
                    return
                yield call
            was_read = was_read or any(label in result.labels for result in message.tool_results)

    def _may_be_chosen(self, text: str) -> bool:
        """Whether untrusted content holds a value, and not by chance, as any text holds a `5`."""
        if len(text) >= MIN_CHARS:
            return any(text in source.text for source in self.untrusted)
        return not text.isdigit() and any(stands_in(source.text, text) for source in self.untrusted)

    def _is_sound(self, source: OwnData, text: str) -> bool:
        """Whether a tool found a value itself, and by nothing that untrusted content may have asked for.

        Once such was read, a model's arguments may be what it asked for in other words, and what a tool computes of them
        is too: a calculator, a shell or a file that the model wrote would vouch for anything. So from then on a tool
        vouches for what it found by the person's words, or by what was vouched for before.
        """
        asked = id(source), text
        if asked not in self._sound:  # kept, as the holders are: each may be asked through every other
            self._sound[asked] = self._finds_itself(source, text)
        return self._sound[asked]

    def _finds_itself(self, source: OwnData, text: str) -> bool:
        given = [plain(word) for word in _words_of(source.arguments)]
        if any(text in leaf or self.taint(leaf, before=source.made_at) for leaf in given):
            return False
        since = min((other.read_at for other in self.untrusted), default=source.made_at)
        if Label.RETURNS_UNTRUSTED in self._before:  # by whoever gave this run its task
            since = -1
        if since >= source.made_at:
            return True
        may_be_repeated = any(since < at < source.made_at and text in leaf for at, leaf in self._given)
        return not may_be_repeated and all(self._was_vouched(leaf, source.made_at) for leaf in given)

    def _was_vouched(self, text: str, before: int) -> bool:
        """Whether a plain value was the person's or a tool's own before the message at this place, or says nothing."""
        if not text or (text.isdigit() and len(text) < MIN_CHARS) or stands_in(self.said, text):
            return True
        if text not in self._holders:
            self._holders[text] = [one for one in self.own if stands_in(one.text, text)]
        return any(one.made_at < before and self._is_sound(one, text) for one in self._holders[text])

    def tainted_link(self, value: str) -> tuple[str, str]:
        """The first address within a text that is tainted, and the call that it came out of; both empty: none is."""
        for found in _LINK.finditer(value):
            link = found.group().rstrip(".,;:!?")
            if source := self.taint(without_scheme(link)):
                return link, source
        return "", ""


def _named(said: str, items: Sequence[Item]) -> set[Item]:
    """The items that the person named, where others of the same name have the same participants."""
    by_name = said_as(said, {name for item in items for name in item.names})
    participants: dict[str, set[frozenset[str]]] = {}
    for item in items:
        for name in item.names:
            if name in by_name:
                participants.setdefault(by_name[name], set()).add(frozenset(item.participants))
    return {
        item
        for item in items
        if any(len(participants[by_name[name]]) == 1 for name in item.names if name in by_name)
    }


def _words_of(arguments: JsonObject) -> Iterator[str]:
    """What a model wrote into the arguments of a call; their own names are those of the tool."""
    yield from (leaf for _, leaf in leaves(arguments))
    yield from (key for given in arguments.values() for _, key in keys(given))


def _participants(items: Iterable[Item]) -> Iterator[str]:
    return (one for item in items for one in item.participants)


def labels_seen(state: RunState) -> frozenset[Label]:
    """The labels of all results that the model has read, or that a plan can pass on, of what was recalled, and of what
    the run that delegated this one had read.
    """
    read = (label for _, result in _results(state) for label in result.labels)
    return frozenset((*read, *(_OF_RECOLLECTIONS if _recalled(state) else ()), *state.read_before))


def labels_shown(messages: Iterable[Message]) -> frozenset[Label]:
    """The labels of what can be seen in a conversation to have been read."""
    found: set[Label] = set()
    for message in messages:
        found.update(label for result in message.tool_results for label in result.labels)
        if message.role == "user" and recollections(message.text):
            found.update(_OF_RECOLLECTIONS)
    return frozenset(found)


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


def _results(state: RunState) -> Iterator[tuple[int, ToolResult]]:
    """What was read, and what a plan holds: the model reads that later, or only the beginning of it."""
    for place, message in enumerate(state.messages):
        if message.role == "tool":
            for result in message.tool_results:
                yield place, result
    for call in _held(state):
        if call.result is not None:
            yield len(state.messages), call.result


def _held(state: RunState) -> tuple[CallState, ...]:
    """The calls of plans, which stand in no message."""
    return (*state.finished.values(), *state.calls.values()) if state.plan_call_id or state.finished else ()


_Made: TypeAlias = tuple[JsonObject, int]
"""The arguments of a call, and the place of the message that made it."""


def _made_and_read(state: RunState) -> tuple[list[_Made], list[tuple[int, ToolResult, JsonObject, int]]]:
    """All calls, and all results with their places, each behind the call that it is of.

    That is the last one before it with its id: in a later turn, or in the next run of a session, an id may come again.
    """
    end = len(state.messages)
    made = [(call.call.arguments, end) for call in _held(state)]
    read = [(end, call.result, call.call.arguments, end) for call in _held(state) if call.result is not None]
    latest: dict[str, _Made] = {}
    for place, message in enumerate(state.messages):
        for call in message.tool_calls:
            latest[call.tool_call_id] = call.arguments, place
            made.append((call.arguments, place))
        if message.role == "tool":
            read.extend(
                (place, one, *latest.get(one.tool_call_id, ({}, place))) for one in message.tool_results
            )
    return made, read


def _from_people(state: RunState) -> Iterator[str]:
    """What stands in messages of the user's, but for a task that a model gave after it had read untrusted content, and for
    notes, such as why an answer was rejected: they may repeat what a model said.
    """
    task = state.input if state.parent_id and Label.RETURNS_UNTRUSTED in state.read_before else None
    for message in state.messages:
        if message.role in {"user", "system"} and not message.note and message != task:
            yield message.text


def _written_by_person(state: RunState) -> Iterator[str]:
    """What was recalled is not: it may be what a page said, weeks ago."""
    return (without_recalled(text) for text in _from_people(state))


def _recalled(state: RunState) -> list[str]:
    return [recalled for text in _from_people(state) for recalled in recollections(text)]
