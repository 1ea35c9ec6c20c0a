"""Who may call what. Pure: a policy is a function from a call to a decision, and an application may bring its own.

The default, `Rules`, is data. Its rules follow one idea: a run that has read something private and something untrusted
must not send anything out, or destroy anything, on its own (the "lethal trifecta", S. Willison, June 2025).
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from agent_core.state import RunState
from agent_core.taint import labels_seen, tainted_source, tainted_values
from agent_core.tools import Label, ToolCall, ToolSpec


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


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A policy as data: the strictest rule that fits a call decides."""

    tools: Mapping[str, Verdict] = {}
    """By the name of a tool; goes before every other rule."""
    destroys: Verdict = Verdict.ASK
    """A tool labelled `destroys`."""
    sends_out: Verdict = Verdict.ALLOW
    """A tool labelled `sends_out`, whatever the run has read."""
    trio: Verdict = Verdict.ASK
    """A tool labelled `sends_out` in a run that has read both private and untrusted content."""
    tainted_argument: Verdict = Verdict.ASK
    """An argument of a tool that sends out or destroys holds a value that came out of untrusted content."""

    def __call__(self, state: RunState, spec: ToolSpec, call: ToolCall) -> Decision:
        """The decision on one call; see `Policy`."""
        own = self.tools.get(spec.name)
        if own is not None:
            return Decision(verdict=own, reason=f"the rule for {spec.name} says so")
        if not spec.labels or (Label.DESTROYS not in spec.labels and Label.SENDS_OUT not in spec.labels):
            return ALLOWED
        decisions = [self._destroys(spec), self._sends_out(state, spec), self._tainted(state, call)]
        return max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])

    def _destroys(self, spec: ToolSpec) -> Decision:
        if Label.DESTROYS not in spec.labels:
            return ALLOWED
        return Decision(verdict=self.destroys, reason=f"{spec.name} destroys or overwrites something")

    def _sends_out(self, state: RunState, spec: ToolSpec) -> Decision:
        if Label.SENDS_OUT not in spec.labels:
            return ALLOWED
        seen = labels_seen(state) | set(spec.labels)
        if Label.READS_PRIVATE in seen and Label.RETURNS_UNTRUSTED in seen:
            reason = f"{spec.name} sends something out, and this run has read private and untrusted content"
            return Decision(verdict=self.trio, reason=reason)
        return Decision(verdict=self.sends_out, reason=f"{spec.name} sends something out")

    def _tainted(self, state: RunState, call: ToolCall) -> Decision:
        source = tainted_source(state, call.tool_call_id)
        if source:
            reason = f"an argument refers to untrusted content (call {source})"
            return Decision(verdict=self.tainted_argument, reason=reason)
        tainted = tainted_values(state, call.arguments)
        if not tainted:
            return ALLOWED
        first = tainted[0]
        reason = f"the argument {first.argument!r} came out of untrusted content (call {first.tool_call_id})"
        return Decision(verdict=self.tainted_argument, reason=reason)


_STRICTNESS = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}
