"""The state of a run, and how each event changes what it records.

`CHANGES` writes down facts and decides nothing: which event is legal and which phase follows is in `transitions`.
"""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, TypeAlias

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
from agent_core.tools import Label, ToolCall, ToolResult


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
    read_before: tuple[Label, ...] = ()
    """What the run that delegated this one had read, by its labels."""
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


def _run_started(state: RunState, event: ev.RunStarted) -> RunState:
    return replace(
        state,
        run_id=state.run_id or event.run_id,  # the first event of a fork names the run it was copied from
        session_id=event.session_id,
        parent_id=event.parent_id,
        agent=event.agent,
        read_before=event.read_before,
        model=event.model,
        instructions=event.instructions,
        input=event.input,
        messages=History((event.input,)),
        limits=event.limits,
        answer_schema=event.answer_schema,
        started_at=event.at,
    )


def _context_hydrated(state: RunState, event: ev.ContextHydrated) -> RunState:
    if not event.messages:
        return state
    return replace(state, messages=History((*event.messages, *state.messages)))


Turn: TypeAlias = ev.ModelAnswered | ev.ToolsCalled | ev.PlanProposed


def _spent(state: RunState, event: Turn, calls: int) -> Spent:
    """What the run has spent once the model took a turn and made so many calls."""
    spent = state.spent
    return Spent(
        turns=spent.turns + 1,
        tool_calls=spent.tool_calls + calls,
        usage=spent.usage + event.usage,
        wall_time_s=event.at - state.started_at,
    )


def _model_answered(state: RunState, event: ev.ModelAnswered) -> RunState:
    message = event.message
    return replace(
        state,
        messages=state.messages.extended(message),
        answered_by=event.model or state.answered_by,
        turns=state.turns + 1,
        spent=_spent(state, event, 0),
        answer=message.text,
        answer_accepted=False,
    )


def _tools_called(state: RunState, event: ev.ToolsCalled) -> RunState:
    calls: dict[str, CallState] = {}
    for part in event.parts:
        if isinstance(part, ToolCall):
            calls[part.tool_call_id] = CallState(call=part)
    return _called(state, event, calls, len(calls), "")


def _called(
    state: RunState, event: Turn, calls: dict[str, CallState], made: int, plan_call_id: str
) -> RunState:
    return replace(
        state,
        messages=state.messages.extended(event.message),
        answered_by=event.model or state.answered_by,
        turns=state.turns + 1,
        spent=_spent(state, event, made),
        calls=calls,
        plan_call_id=plan_call_id,
    )


def _plan_proposed(state: RunState, event: ev.PlanProposed) -> RunState:
    own = event.message.tool_calls
    if not event.calls:  # an older journal: the calls are the message's own, and so are their results
        calls = planning.begun(own, event.after, {})
        return _called(state, event, calls, len(calls), "")
    calls = planning.begun(event.calls, event.after, state.finished)
    plan_call_id = next((call.tool_call_id for call in own), "plan")
    to_make = sum(not call.judged for call in calls.values())
    after = _called(state, event, calls, to_make, plan_call_id)
    if to_make:
        return after
    result = planning.summary(plan_call_id, calls)
    return replace(after, messages=after.messages.extended(Message(role="tool", parts=(result,))))


def _limit_reached(state: RunState, event: ev.LimitReached) -> RunState:
    return replace(state, limit_reached=event.limit)


def _waiting(
    state: RunState, tool_call_id: str, event: ev.Event, allowed: Collection[CallStatus]
) -> CallState:
    """The call that `event` completes, or the error that says nobody waits for it."""
    call = state.calls.get(tool_call_id)
    if call is None or call.status not in allowed:
        raise StaleCompletionError(ev.event_type(event), tool_call_id)
    return call


def _with_call(state: RunState, call: CallState) -> RunState:
    return replace(state, calls={**state.calls, call.call.tool_call_id: call})


def _tool_started(state: RunState, event: ev.ToolStarted) -> RunState:
    call = _waiting(state, event.tool_call_id, event, (OPEN,))
    return _with_call(state, replace(call, status=STARTED))


def _run_delegated(state: RunState, event: ev.RunDelegated) -> RunState:
    call = _waiting(state, event.tool_call_id, event, (OPEN,))
    return _with_call(state, replace(call, status=DELEGATED, run_id=event.run_id))


def _tool_back(state: RunState, event: ev.ToolReturned | ev.ToolFailed) -> RunState:
    call = _waiting(state, event.tool_call_id, event, RUNNING)
    status = RETURNED if type(event) is ev.ToolReturned else FAILED
    spent = state.spent if event.spent is None else state.spent + event.spent
    return replace(
        state,
        calls={**state.calls, event.tool_call_id: replace(call, status=status, result=event.result)},
        spent=replace(spent, wall_time_s=event.at - state.started_at),
    )


def _approval_requested(state: RunState, event: ev.ApprovalRequested) -> RunState:
    call = _waiting(state, event.tool_call_id, event, RUNNING)
    return _with_call(state, replace(call, status=ASKED, question=event.reason))


def _input_requested(state: RunState, event: ev.InputRequested) -> RunState:
    call = _waiting(state, event.tool_call_id, event, RUNNING)
    return _with_call(state, replace(call, status=ASKED, question=event.question))


def _approval_granted(state: RunState, event: ev.ApprovalGranted) -> RunState:
    asked = _waiting(state, event.tool_call_id, event, (ASKED,))
    call = asked.call if event.arguments is None else replace(asked.call, arguments=event.arguments)
    if asked.result is not None:  # an escalated result that a person lets pass
        back = FAILED if asked.result.is_error else RETURNED
        return _with_call(state, replace(asked, status=back, approved=True, vouched=True))
    return _with_call(state, replace(asked, call=call, status=OPEN, approved=True))


def _approval_denied(state: RunState, event: ev.ApprovalDenied) -> RunState:
    call = _waiting(state, event.tool_call_id, event, (ASKED,))
    reason = f": {event.reason}" if event.reason else ""
    result = ToolResult(
        tool_call_id=event.tool_call_id, content=f"A person denied this call{reason}", error="denied"
    )
    return _with_call(state, replace(call, status=FAILED, result=result))


def _input_given(state: RunState, event: ev.InputGiven) -> RunState:
    call = _waiting(state, event.tool_call_id, event, (ASKED,))
    result = ToolResult(tool_call_id=event.tool_call_id, content=event.text)
    return _with_call(state, replace(call, status=RETURNED, result=result, vouched=True))


def _results_accepted(state: RunState, _: ev.ResultsAccepted) -> RunState:
    return _judged(state, planning.skip_blocked(state.calls))


def _results_revised(state: RunState, event: ev.ResultsRevised) -> RunState:
    return _judged(state, planning.skip_rest(state.calls), event.reason, event.tool_call_ids)


def _judged(
    state: RunState, back: planning.Calls, reason: str = "", rejected: tuple[str, ...] = ()
) -> RunState:
    """The results that are `back` count. They become a message that the model will read: those of a plan as one result,
    once the plan is over.
    """
    fresh = planning.unjudged(back)
    calls = planning.judged(back, state.finished)
    over = len(fresh) == len(calls) or planning.is_over(calls)
    failed = progress.all_failed(calls.values()) if over else None
    messages, finished = state.messages, state.finished
    parts: list[Part] = []
    if not state.plan_call_id:
        for call in fresh:
            if call.result is not None:
                parts.append(call.result)  # noqa: PERF401  # see `planning.unjudged`
    elif over:
        parts = [planning.summary(state.plan_call_id, calls)]
        finished = planning.kept(finished, calls)
    if over or not state.plan_call_id:
        if reason:
            parts.append(Text(text=reason))
        messages = messages.extended(Message(role="tool", parts=tuple(parts)))
    return replace(
        state,
        calls=calls,
        finished=finished,
        messages=messages,
        progress=progress.after_results(state.progress, fresh, failed=failed),
        lessons=lessons.from_results(state.lessons, fresh, reason=reason, rejected=rejected),
    )


def _results_retried(state: RunState, event: ev.ResultsRetried) -> RunState:
    calls = dict(state.calls)
    for tool_call_id in event.tool_call_ids:
        call = _waiting(state, tool_call_id, event, (RETURNED, FAILED))
        calls[tool_call_id] = replace(call, status=OPEN, result=None, attempt=call.attempt + 1)
    return replace(state, calls=calls)


def _run_escalated(state: RunState, event: ev.RunEscalated) -> RunState:
    call = _waiting(state, event.tool_call_id, event, (RETURNED, FAILED))
    return _with_call(state, replace(call, status=ASKED, question=event.reason))


def _answer_accepted(state: RunState, _: ev.AnswerAccepted) -> RunState:
    learned = lessons.from_accepted_answer(state.lessons, state.answer) if state.lessons else ()
    return replace(state, answer_accepted=True, lessons=learned)


def _answer_revised(state: RunState, event: ev.AnswerRevised) -> RunState:
    note = Message(role="user", parts=(Text(text=event.reason),), note=True)
    return replace(
        state,
        messages=state.messages.extended(note),
        answer="",
        progress=replace(state.progress, answers_revised=state.progress.answers_revised + 1),
        lessons=lessons.from_revised_answer(state.lessons, event.reason),
    )


def _failed(state: RunState, event: ev.ModelFailed | ev.RunFailed) -> RunState:
    return replace(state, error=f"{event.code}: {event.reason}")


def _cancelled(state: RunState, event: ev.RunCancelled) -> RunState:
    because = f": {event.reason}" if event.reason else ""
    return replace(state, error=f"cancelled by {event.by}{because}")


CHANGES: dict[type[ev.Event], Callable[[RunState, Any], RunState]] = {
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
