"""A plan as a graph of tool calls: where each call is, which are ready, which can never run. Pure.

A turn with plain tool calls is a plan without edges.
"""

from collections.abc import Mapping
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

import msgspec
from msgspec.structs import replace

from agent_core.tools import ToolCall, ToolResult


class CallStatus(StrEnum):
    """Where one tool call is."""

    OPEN = "open"
    """Not run yet, or interrupted."""
    STARTED = "started"
    """The intent is journaled; there is no result."""
    ASKED = "asked"
    """A person is asked."""
    RETURNED = "returned"
    FAILED = "failed"


class CallState(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call of the current turn or plan."""

    call: ToolCall
    status: CallStatus = CallStatus.OPEN
    after: tuple[str, ...] = ()
    attempt: int = 1
    approved: bool = False
    judged: bool = False
    question: str = ""
    """What the person is asked, while the status is `asked`."""
    result: ToolResult | None = None

    @property
    def is_back(self) -> bool:
        """True once there is a result, good or bad, that no person has to look at."""
        return self.status is CallStatus.RETURNED or self.status is CallStatus.FAILED


Calls = Mapping[str, CallState]


def ready(calls: Calls) -> tuple[CallState, ...]:
    """The calls to run now, in plan order: not run or interrupted, and all they wait for has succeeded."""
    return tuple(
        call
        for call in calls.values()
        if call.status in {CallStatus.OPEN, CallStatus.STARTED}
        and all(calls[key].status is CallStatus.RETURNED and calls[key].judged for key in call.after)
    )


def asked(calls: Calls) -> tuple[CallState, ...]:
    """The calls that wait for a person."""
    return tuple(call for call in calls.values() if call.status is CallStatus.ASKED)


def unjudged(calls: Calls) -> tuple[CallState, ...]:
    """The results that are back and do not count yet."""
    return tuple(call for call in calls.values() if call.is_back and not call.judged)


def skip_blocked(calls: Calls) -> dict[str, CallState]:
    """The same calls; those that wait, directly or not, for a failed one are failed as `skipped`."""
    settled = dict(calls)
    if not any(call.after for call in calls.values()):
        return settled
    for key in TopologicalSorter({key: call.after for key, call in calls.items()}).static_order():
        call = settled[key]
        failed = [other for other in call.after if settled[other].status is CallStatus.FAILED]
        if call.status is CallStatus.OPEN and failed:
            settled[key] = _skipped(call, f"it needs the result of {failed[0]}, which failed")
    return settled


def skip_rest(calls: Calls) -> dict[str, CallState]:
    """The same calls; those that are not back are failed as `skipped`, for the plan they belong to is dropped."""
    return {
        key: call if call.is_back else _skipped(call, "the plan was dropped") for key, call in calls.items()
    }


def _skipped(call: CallState, reason: str) -> CallState:
    result = ToolResult(tool_call_id=call.call.tool_call_id, content=f"Skipped: {reason}.", error="skipped")
    return replace(call, status=CallStatus.FAILED, result=result)


def fault(calls: tuple[ToolCall, ...], after: Mapping[str, tuple[str, ...]]) -> str:
    """What is wrong with a proposed plan, in words for the model; empty where nothing is."""
    known = {call.tool_call_id for call in calls}
    if len(known) != len(calls):
        return "Two calls of the plan have the same id."
    unknown = sorted({*after, *(other for others in after.values() for other in others)} - known)
    if unknown:
        return f"The plan refers to {unknown[0]!r}, which is no call in it."
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        return f"The plan waits for itself: {' -> '.join(error.args[1])}."
    return ""
