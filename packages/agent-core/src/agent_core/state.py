"""The state of a run, and how each event changes what it records.

`CHANGES` writes down facts and decides nothing: which event is legal and which phase follows is in `transitions`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from agent_core import events as ev
from agent_core import lessons, planning, progress
from agent_core.errors import StaleCompletionError
from agent_core.history import History
from agent_core.json_types import JsonObject
from agent_core.lessons import Lesson
from agent_core.limits import Limits, Spent
from agent_core.messages import Message, Part, Text, Usage
from agent_core.planning import (
    ASKED,
    DELEGATED,
    FAILED,
    OPEN,
    RETURNED,
    RUNNING,
    STARTED,
    CallState,
    CallStatus,
)
from agent_core.progress import Progress
from agent_core.tools import ToolCall, ToolResult


class Phase(StrEnum):
    """Where a run is; `transitions.TRANSITIONS` says how it moves."""

    IDLE = "idle"
    PERCEIVING = "perceiving"
    REASONING = "reasoning"
    DISPATCHING = "dispatching"
    AWAITING = "awaiting"
    REFLECTING = "reflecting"
    RESPONDING = "responding"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    __hash__ = str.__hash__  # an enum's own is a call into Python, and every event looks its phase up


# See `planning.OPEN`.
PERCEIVING, REASONING, DISPATCHING = Phase.PERCEIVING, Phase.REASONING, Phase.DISPATCHING
AWAITING, REFLECTING, RESPONDING = Phase.AWAITING, Phase.REFLECTING, Phase.RESPONDING
OVER = (Phase.DONE, Phase.FAILED, Phase.CANCELLED)
"""The phases that nothing leads out of."""


class RunState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Everything a run is: the fold of its journal."""

    run_id: str
    phase: Phase = Phase.IDLE
    seq: int = 0
    """How many events were folded; the next one is appended behind this number."""
    session_id: str = ""
    parent_id: str = ""
    """The run that delegated this one; empty: a person started it."""
    agent: str = ""
    """The sub-agent that this run is of, as a path such as `researcher/reader`; empty: none."""
    model: str = ""
    """The model that was asked for."""
    answered_by: str = ""
    """The model of the last turn, as its provider names it."""
    instructions: str = ""
    input: Message | None = None
    messages: History[Message] = History()
    """The conversation as the model sees it: context, input, and what came since."""
    calls: dict[str, CallState] = {}
    """The calls of the current turn or plan, in plan order. Never changed in place."""
    plan_call_id: str = ""
    """The call of the tool `plan` that `calls` came from; empty: the model made them itself."""
    finished: dict[str, CallState] = {}
    """Calls of earlier plans that succeeded, for later plans to refer to. Never changed in place."""
    progress: Progress = Progress()
    lessons: tuple[Lesson, ...] = ()
    """What was rejected and what came right, for memory to keep."""
    limits: Limits = Limits()
    spent: Spent = Spent()
    turns: int = 0
    """Turns of the run's own model: `spent` counts those of its sub-agents too, so this one names a turn for ever."""
    limit_reached: str = ""
    answer_schema: JsonObject | None = None
    answer: str = ""
    answer_accepted: bool = False
    error: str = ""
    started_at: float = 0.0
    updated_at: float = 0.0

    @property
    def usage(self) -> Usage:
        """Tokens and money spent so far."""
        return self.spent.usage

    @property
    def is_over(self) -> bool:
        """True in `done`, `failed` and `cancelled`."""
        return self.phase in OVER


# Partial changes as keyword sets: `evolve` applies them together with the phase and the bookkeeping, in one `replace`.
Changes = dict[str, Any]


def _run_started(state: RunState, event: ev.RunStarted) -> Changes:
    return {
        "run_id": state.run_id or event.run_id,  # the first event of a fork names the run it was copied from
        "session_id": event.session_id,
        "parent_id": event.parent_id,
        "agent": event.agent,
        "model": event.model,
        "instructions": event.instructions,
        "input": event.input,
        "messages": History((event.input,)),
        "limits": event.limits,
        "answer_schema": event.answer_schema,
        "started_at": event.at,
    }


def _context_hydrated(state: RunState, event: ev.ContextHydrated) -> Changes:
    return {"messages": History((*event.messages, *state.messages))}


def _turn_taken(
    state: RunState, event: ev.ModelAnswered | ev.ToolsCalled | ev.PlanProposed, calls: int
) -> Changes:
    spent = state.spent
    return {
        "messages": state.messages.extended(event.message),
        "answered_by": event.model or state.answered_by,
        "turns": state.turns + 1,
        "spent": Spent(
            turns=spent.turns + 1,
            tool_calls=spent.tool_calls + calls,
            usage=spent.usage + event.usage,
            wall_time_s=event.at - state.started_at,
        ),
    }


def _model_answered(state: RunState, event: ev.ModelAnswered) -> Changes:
    facts = _turn_taken(state, event, 0)
    facts["answer"] = facts["messages"][-1].text
    facts["answer_accepted"] = False
    return facts


def _tools_called(state: RunState, event: ev.ToolsCalled) -> Changes:
    calls = {part.tool_call_id: CallState(call=part) for part in event.parts if isinstance(part, ToolCall)}
    facts = _turn_taken(state, event, len(calls))
    facts["calls"] = calls
    facts["plan_call_id"] = ""
    return facts


def _plan_proposed(state: RunState, event: ev.PlanProposed) -> Changes:
    if not event.calls:  # an older journal: the calls are the message's own, and so are their results
        calls = planning.begun(event.message.tool_calls, event.after, {})
        return {**_turn_taken(state, event, len(calls)), "calls": calls, "plan_call_id": ""}
    calls = planning.begun(event.calls, event.after, state.finished)
    plan_call_id = next((call.tool_call_id for call in event.message.tool_calls), "plan")
    made = sum(call.judged for call in calls.values())
    changes: Changes = {
        **_turn_taken(state, event, len(calls) - made),
        "calls": calls,
        "plan_call_id": plan_call_id,
    }
    if made == len(calls):  # nothing is left to do
        result = planning.summary(plan_call_id, calls)
        changes["messages"] = changes["messages"].extended(Message(role="tool", parts=(result,)))
    return changes


def _limit_reached(_: RunState, event: ev.LimitReached) -> Changes:
    return {"limit_reached": event.limit}


def _waiting(state: RunState, tool_call_id: str, event: ev.Event, *allowed: CallStatus) -> CallState:
    """The call that `event` completes, or the error that says nobody waits for it."""
    call = state.calls.get(tool_call_id)
    if call is None or call.status not in allowed:
        raise StaleCompletionError(ev.event_type(event), tool_call_id)
    return call


def _with_call(state: RunState, call: CallState) -> Changes:
    return {"calls": {**state.calls, call.call.tool_call_id: call}}


def _tool_started(state: RunState, event: ev.ToolStarted) -> Changes:
    call = _waiting(state, event.tool_call_id, event, OPEN)
    return _with_call(state, replace(call, status=STARTED))


def _run_delegated(state: RunState, event: ev.RunDelegated) -> Changes:
    call = _waiting(state, event.tool_call_id, event, OPEN)
    return _with_call(state, replace(call, status=DELEGATED, run_id=event.run_id))


def _tool_back(state: RunState, event: ev.ToolReturned | ev.ToolFailed) -> Changes:
    call = _waiting(state, event.tool_call_id, event, *RUNNING)
    status = RETURNED if type(event) is ev.ToolReturned else FAILED
    facts = _with_call(state, replace(call, status=status, result=event.result))
    spent = state.spent if event.spent is None else state.spent + event.spent
    facts["spent"] = replace(spent, wall_time_s=event.at - state.started_at)
    return facts


def _approval_requested(state: RunState, event: ev.ApprovalRequested) -> Changes:
    call = _waiting(state, event.tool_call_id, event, *RUNNING)
    return _with_call(state, replace(call, status=ASKED, question=event.reason))


def _input_requested(state: RunState, event: ev.InputRequested) -> Changes:
    call = _waiting(state, event.tool_call_id, event, *RUNNING)
    return _with_call(state, replace(call, status=ASKED, question=event.question))


def _approval_granted(state: RunState, event: ev.ApprovalGranted) -> Changes:
    asked = _waiting(state, event.tool_call_id, event, ASKED)
    call = asked.call if event.arguments is None else replace(asked.call, arguments=event.arguments)
    if asked.result is not None:  # an escalated result that a person lets pass
        back = FAILED if asked.result.is_error else RETURNED
        return _with_call(state, replace(asked, status=back, approved=True, vouched=True))
    return _with_call(state, replace(asked, call=call, status=OPEN, approved=True))


def _approval_denied(state: RunState, event: ev.ApprovalDenied) -> Changes:
    call = _waiting(state, event.tool_call_id, event, ASKED)
    reason = f": {event.reason}" if event.reason else ""
    result = ToolResult(
        tool_call_id=event.tool_call_id, content=f"A person denied this call{reason}", error="denied"
    )
    return _with_call(state, replace(call, status=FAILED, result=result))


def _input_given(state: RunState, event: ev.InputGiven) -> Changes:
    call = _waiting(state, event.tool_call_id, event, ASKED)
    result = ToolResult(tool_call_id=event.tool_call_id, content=event.text)
    return _with_call(state, replace(call, status=RETURNED, result=result, vouched=True))


def _results_accepted(state: RunState, _: ev.ResultsAccepted) -> Changes:
    return _judged(state, planning.skip_blocked(state.calls))


def _results_revised(state: RunState, event: ev.ResultsRevised) -> Changes:
    return _judged(state, planning.skip_rest(state.calls), event.reason, event.tool_call_ids)


def _judged(
    state: RunState, back: planning.Calls, reason: str = "", rejected: tuple[str, ...] = ()
) -> Changes:
    """The results that are `back` count. They become a message that the model will read: those of a plan as one result,
    once the plan is over.
    """
    fresh = planning.unjudged(back)
    calls = planning.judged(back, state.finished)
    over = planning.is_over(calls)
    failed = progress.all_failed(calls.values()) if over else None
    facts: Changes = {
        "calls": calls,
        "progress": progress.after_results(state.progress, fresh, failed=failed),
        "lessons": lessons.from_results(state.lessons, fresh, reason=reason, rejected=rejected),
    }
    parts: list[Part] = [call.result for call in fresh if call.result is not None]
    if state.plan_call_id:
        if not over:
            return facts
        parts = [planning.summary(state.plan_call_id, calls)]
        facts["finished"] = planning.kept(state.finished, calls)
    if reason:
        parts.append(Text(text=reason))
    facts["messages"] = state.messages.extended(Message(role="tool", parts=tuple(parts)))
    return facts


def _results_retried(state: RunState, event: ev.ResultsRetried) -> Changes:
    calls = dict(state.calls)
    for tool_call_id in event.tool_call_ids:
        call = _waiting(state, tool_call_id, event, RETURNED, FAILED)
        calls[tool_call_id] = replace(call, status=OPEN, result=None, attempt=call.attempt + 1)
    return {"calls": calls}


def _run_escalated(state: RunState, event: ev.RunEscalated) -> Changes:
    call = _waiting(state, event.tool_call_id, event, RETURNED, FAILED)
    return _with_call(state, replace(call, status=ASKED, question=event.reason))


def _answer_accepted(state: RunState, _: ev.AnswerAccepted) -> Changes:
    if not state.lessons:
        return {"answer_accepted": True}
    learned = lessons.from_accepted_answer(state.lessons, state.answer)
    return {"answer_accepted": True, "lessons": learned}


def _answer_revised(state: RunState, event: ev.AnswerRevised) -> Changes:
    note = Message(role="user", parts=(Text(text=event.reason),))
    return {
        "messages": state.messages.extended(note),
        "answer": "",
        "progress": replace(state.progress, answers_revised=state.progress.answers_revised + 1),
        "lessons": lessons.from_revised_answer(state.lessons, event.reason),
    }


def _failed(_: RunState, event: ev.ModelFailed | ev.RunFailed) -> Changes:
    return {"error": f"{event.code}: {event.reason}"}


def _cancelled(_: RunState, event: ev.RunCancelled) -> Changes:
    return {"error": f"cancelled by {event.by}" + (f": {event.reason}" if event.reason else "")}


CHANGES: dict[type[ev.Event], Callable[[RunState, Any], Changes]] = {
    ev.RunStarted: _run_started,
    ev.ContextHydrated: _context_hydrated,
    ev.ModelAnswered: _model_answered,
    ev.ToolsCalled: _tools_called,
    ev.PlanProposed: _plan_proposed,
    ev.ModelFailed: _failed,
    ev.LimitReached: _limit_reached,
    ev.ToolStarted: _tool_started,
    ev.RunDelegated: _run_delegated,
    ev.ToolReturned: _tool_back,
    ev.ToolFailed: _tool_back,
    ev.ApprovalRequested: _approval_requested,
    ev.InputRequested: _input_requested,
    ev.ApprovalGranted: _approval_granted,
    ev.ApprovalDenied: _approval_denied,
    ev.InputGiven: _input_given,
    ev.ResultsAccepted: _results_accepted,
    ev.ResultsRetried: _results_retried,
    ev.ResultsRevised: _results_revised,
    ev.RunEscalated: _run_escalated,
    ev.AnswerAccepted: _answer_accepted,
    ev.AnswerRevised: _answer_revised,
    ev.RunCancelled: _cancelled,
    ev.RunFailed: _failed,
}
"""What each event changes of what the state records; a type that is not here changes nothing but the phase.

A function raises `StaleCompletionError` where its event names a tool call that nobody waits for.
"""
