"""Who may call what. Pure: a policy is a function from a call to a decision, and an application may bring its own."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from agent_core.state import RunState
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


def ask_before_destroying(_: RunState, spec: ToolSpec, call: ToolCall) -> Decision:
    """The default: a tool labelled `destroys` needs a person's yes; everything else may run."""
    if Label.DESTROYS in spec.labels:
        return Decision(verdict=Verdict.ASK, reason=f"{call.name} destroys or overwrites something")
    return ALLOWED
