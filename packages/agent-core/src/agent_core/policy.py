"""Who may call what. Pure: a policy is a function from a call to a decision, and an application may bring its own.

The default, `Rules`, is data. Its rules follow one idea: what nobody vouches for must not decide what a run does. A run
that has read untrusted content may go on and say what it likes to whom the person named; it must not choose by itself
who receives something, or what is destroyed (the "lethal trifecta", S. Willison, June 2025; see `taint`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Literal, TypeAlias, assert_never, cast

import msgspec

from agent_core.fields import keys, leaves
from agent_core.naming import is_web_address, plain, without_scheme
from agent_core.state import RunState
from agent_core.taint import RECALLED, Provenance, tainted_source
from agent_core.tools import ArgumentRole, Label, ToolCall, ToolSpec


class Verdict(StrEnum):
    """What may happen to a call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on one call, with the reason that a person or the model will read."""

    verdict: Verdict
    reason: str = ""


ALLOWED = Decision(verdict=Verdict.ALLOW)

Policy: TypeAlias = Callable[[RunState, ToolSpec, ToolCall], Decision]
"""Decides on a call before it is made. Not asked again once a person allowed the call."""


_Judged: TypeAlias = Literal[
    ArgumentRole.DESTINATION, ArgumentRole.CHOICE, ArgumentRole.TARGET, ArgumentRole.CONTENT
]
"""The roles that are judged by the value alone."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A policy as data: the strictest rule that fits a call decides."""

    tools: Mapping[str, Verdict] = {}
    """By the name of a tool; goes before every other rule."""
    destroys: Verdict = Verdict.ASK
    """A tool labelled `destroys`."""
    sends_out: Verdict = Verdict.ALLOW
    """A tool labelled `sends_out`, whatever the run has read."""
    trio: Verdict = Verdict.ASK
    """A tool labelled `sends_out` in a run that has read both private and untrusted content, where the tool does not say
    which argument is the destination, or the source, and so nobody can tell where it sends to."""
    destination: Verdict = Verdict.ASK
    """A destination that nobody vouches for, or a choice that the person did not name, in a run that has read untrusted
    content; or such a source, if the run has read something private as well."""
    followed_link: Verdict = Verdict.ALLOW
    """A source that stands in untrusted content as it is, in a run that has read something private as well. Nothing
    can be written into such an address; yet which of several is opened tells something."""
    followed_links: int = 8
    """So many calls of one tool may do that once private content was read; a further one is decided as if the model had
    composed the source. A page may offer a link for every letter, and have a secret spelled."""
    followed_bits: float = 48.0
    """So much may be told in this way: to open one of a thousand addresses that were read tells 11 bits."""
    secret: Verdict = Verdict.ASK
    """An argument of a tool that sends out holds a secret, in a run that has read untrusted content."""
    tainted_argument: Verdict = Verdict.ASK
    """A target, or an address within what is said, that came out of untrusted content, of a tool that sends out, destroys
    or says what its arguments decide."""

    def __call__(self, state: RunState, spec: ToolSpec, call: ToolCall) -> Decision:
        """The decision on one call; see `Policy`."""
        own = self.tools.get(spec.name)
        if own is not None:
            return Decision(verdict=own, reason=f"the rule for {spec.name} says so")
        if not (spec.roles or Label.DESTROYS in spec.labels or Label.SENDS_OUT in spec.labels):
            return ALLOWED
        read = Provenance(state)
        decisions = [self._destroys(spec), self._sends_out(read, spec)]
        if source := tainted_source(state, call.tool_call_id):
            reason = f"an argument refers to untrusted content (call {source})"
            decisions.append(Decision(verdict=self.tainted_argument, reason=reason))
        decisions += self._arguments(read, spec, call)
        return max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])

    def _destroys(self, spec: ToolSpec) -> Decision:
        if Label.DESTROYS not in spec.labels:
            return ALLOWED
        return Decision(verdict=self.destroys, reason=f"{spec.name} destroys or overwrites something")

    def _sends_out(self, read: Provenance, spec: ToolSpec) -> Decision:
        if Label.SENDS_OUT not in spec.labels:
            return ALLOWED
        if _is_trio(read, spec) and not _ADDRESSES & set(spec.roles.values()):
            reason = f"{spec.name} sends something out, and this run has read private and untrusted content"
            return Decision(verdict=self.trio, reason=reason)
        return Decision(verdict=self.sends_out, reason=f"{spec.name} sends something out")

    def _arguments(self, read: Provenance, spec: ToolSpec, call: ToolCall) -> Iterator[Decision]:
        """A decision for each value whose word decides too much."""
        if Label.RETURNS_UNTRUSTED not in read.labels:
            return
        for argument, given in call.arguments.items():
            role = spec.roles.get(argument, ArgumentRole.TARGET)
            is_source = role is ArgumentRole.SOURCE or (
                argument not in spec.roles and _asks_a_source_alone(spec)
            )
            for place, value in _values(spec, argument, given):
                if is_source:
                    yield self._source(read, spec, call, place, value)
                if role is not ArgumentRole.SOURCE:
                    yield self._value(read, role, place, value)
                if Label.SENDS_OUT in spec.labels and (source := read.secret(value)):
                    reason = f"the argument {place!r} holds a secret (call {source})"
                    yield Decision(verdict=self.secret, reason=reason)

    def _value(self, read: Provenance, role: _Judged, place: str, value: str) -> Decision:
        match role:
            case ArgumentRole.CONTENT:
                link, source = read.tainted_link(value)
                reason = f"{place!r} holds the address {link}, out of {_told(source)}"
                return Decision(verdict=self.tainted_argument, reason=reason) if source else ALLOWED
            case ArgumentRole.TARGET:
                source = read.taint(value)
                return (
                    Decision(verdict=self.tainted_argument, reason=_out_of(place, source))
                    if source
                    else ALLOWED
                )
            case ArgumentRole.CHOICE:
                reason = (
                    f"the person did not name the argument {place!r}, and this run has read untrusted content"
                )
                return ALLOWED if read.said_it(value) else Decision(verdict=self.destination, reason=reason)
            case ArgumentRole.DESTINATION:
                return ALLOWED if read.vouches(value) else self._unnamed(read, place, value)
            case _:
                assert_never(role)

    def _source(self, read: Provenance, spec: ToolSpec, call: ToolCall, place: str, value: str) -> Decision:
        if not _is_trio(read, spec):
            return ALLOWED
        opened = list(_opened(read, spec, call))
        is_known = read.leads_to(value)
        if is_known and _bare(value) not in map(_bare, opened):
            return ALLOWED
        if not (is_known or read.stands(value)) or read.is_delegated:
            return self._unnamed(read, place, value)
        followed = list(_telling(read, opened))
        if len(followed) >= self.followed_links:
            reason = f"this run has opened {self.followed_links} addresses out of somebody's text after it read private content"
            return Decision(verdict=self.destination, reason=reason)
        if sum(map(read.bits, (*followed, value))) > self.followed_bits:
            reason = "which of so many addresses this run opens, after it read private content, may tell what that was"
            return Decision(verdict=self.destination, reason=reason)
        if is_known:
            return ALLOWED
        return Decision(verdict=self.followed_link, reason=_out_of(place, read.taint(value)))

    def _unnamed(self, read: Provenance, place: str, value: str) -> Decision:
        source = read.taint(value)
        reason = (
            f"nobody who is trusted named the argument {place!r}, and this run has read untrusted content"
        )
        return Decision(verdict=self.destination, reason=_out_of(place, source) if source else reason)


def _opened(read: Provenance, spec: ToolSpec, call: ToolCall) -> Iterator[str]:
    """What the calls before this one opened, once private content was read."""
    sources = [argument for argument, role in spec.roles.items() if role is ArgumentRole.SOURCE]
    for made in read.calls_since(Label.READS_PRIVATE, until=call.tool_call_id):
        if made.name == spec.name:
            yield from (value for one in sources for _, value in leaves(made.arguments.get(one)))
        else:
            yield from (value for _, value in leaves(made.arguments) if is_web_address(value))


def _telling(read: Provenance, opened: Iterable[str]) -> Iterator[str]:
    """Those whose opening told something: they were not the person's or a tool's own, or were opened once more."""
    before: set[str] = set()
    for one in opened:
        if _bare(one) in before or not read.leads_to(one):
            yield one
        before.add(_bare(one))


def _bare(address: str) -> str:
    """What two writings of one address have in common."""
    return without_scheme(plain(address))


def _asks_a_source_alone(spec: ToolSpec) -> bool:
    """Whether all that a tool sends goes to where it reads, so that whatever it is told reaches whoever is there."""
    roles = set(spec.roles.values())
    is_sent = Label.SENDS_OUT in spec.labels and ArgumentRole.SOURCE in roles
    return is_sent and not roles & {ArgumentRole.DESTINATION, ArgumentRole.CHOICE}


def _values(spec: ToolSpec, argument: str, given: object) -> Iterator[tuple[str, str]]:
    """The texts and numbers of an argument, and the names in it that a model chose: those that the schema has not."""
    yield from leaves(given, argument)
    named = list(keys(given, argument))
    if named or argument not in spec.roles:
        known = {*spec.roles, *_properties(spec.parameters)}
        yield from ((place, key) for place, key in ((argument, argument), *named) if key not in known)


def _properties(schema: object) -> Iterator[str]:
    """The names that a schema has for what it describes."""
    match schema:
        case Mapping():
            for key, inner in cast("Mapping[str, object]", schema).items():
                value: object = inner
                if key == "properties" and isinstance(inner, Mapping):
                    yield from cast("Mapping[str, object]", inner)
                yield from _properties(value)
        case list() | tuple():
            for inner in cast("Sequence[object]", schema):
                yield from _properties(inner)
        case _:
            return


def _out_of(place: str, source: str) -> str:
    return f"the argument {place!r} came out of {_told(source)}"


def _told(source: str) -> str:
    return "what was recalled" if source == RECALLED else f"untrusted content (call {source})"


def _is_trio(read: Provenance, spec: ToolSpec) -> bool:
    """Whether a run that made this call would have read both private and untrusted content."""
    seen = {*read.labels, *spec.labels}
    return Label.READS_PRIVATE in seen and Label.RETURNS_UNTRUSTED in seen


_ADDRESSES = frozenset({ArgumentRole.DESTINATION, ArgumentRole.CHOICE, ArgumentRole.SOURCE})
_STRICTNESS = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}
