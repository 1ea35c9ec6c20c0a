"""The machine: which event may follow in which phase, and what a run then owes.

Rules
1. Everything that decides legality or the next phase is in this file, and nothing else is.
2. No I/O, no clock, no ids: time and ids arrive inside events.

Theory
- A run is the fold of its journal: `replay` starts from an idle state and applies `evolve` to each event.
- There are two kinds of move. *By event*: the row of the phase names the next phase; a type that is not in the row
  is refused. *By state* (`settle`): dispatching holds calls in different places, and what follows depends on all of
  them together, so after every event the phase is moved on until no rule applies.
- Effects are derived. `owed(state)` says what the run waits for; a step causes what is owed after it and was not
  before. Recovery is therefore `owed(replay(journal))`: there is no other path.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from agent_core import effects as eff
from agent_core import events as ev
from agent_core import limits, planning
from agent_core.errors import IllegalEventError
from agent_core.planning import ASKED, DELEGATED, RUNNING, STARTED
from agent_core.state import AWAITING, CHANGES, DISPATCHING, REASONING, REFLECTING, Phase, RunState

Row = dict[type[ev.Event], Phase]

_STOP: Row = {
    ev.RunCancelled: Phase.CANCELLED,
    ev.RunFailed: Phase.FAILED,
}

TRANSITIONS: Mapping[Phase, Row] = {
    Phase.IDLE: {
        ev.RunStarted: Phase.PERCEIVING,
    },
    Phase.PERCEIVING: {
        ev.ContextHydrated: Phase.REASONING,
        **_STOP,
    },
    Phase.REASONING: {
        ev.ModelAnswered: Phase.RESPONDING,
        ev.ToolsCalled: Phase.DISPATCHING,
        ev.PlanProposed: Phase.DISPATCHING,
        ev.LimitReached: Phase.REASONING,
        ev.ModelFailed: Phase.FAILED,
        **_STOP,
    },
    Phase.DISPATCHING: {
        ev.ToolStarted: Phase.DISPATCHING,
        ev.RunDelegated: Phase.DISPATCHING,
        ev.ToolReturned: Phase.DISPATCHING,
        ev.ToolFailed: Phase.DISPATCHING,
        ev.ApprovalRequested: Phase.DISPATCHING,
        ev.InputRequested: Phase.DISPATCHING,
        ev.ApprovalGranted: Phase.DISPATCHING,
        ev.ApprovalDenied: Phase.DISPATCHING,
        ev.InputGiven: Phase.DISPATCHING,
        **_STOP,
    },
    Phase.AWAITING: {
        ev.ApprovalGranted: Phase.DISPATCHING,
        ev.ApprovalDenied: Phase.DISPATCHING,
        ev.InputGiven: Phase.DISPATCHING,
        **_STOP,
    },
    Phase.REFLECTING: {
        ev.ResultsAccepted: Phase.DISPATCHING,
        ev.ResultsRetried: Phase.DISPATCHING,
        ev.ResultsRevised: Phase.REASONING,
        ev.RunEscalated: Phase.DISPATCHING,
        **_STOP,
    },
    Phase.RESPONDING: {
        ev.AnswerAccepted: Phase.RESPONDING,
        ev.AnswerRevised: Phase.REASONING,
        ev.OutcomeStored: Phase.DONE,
        **_STOP,
    },
    Phase.DONE: {},
    Phase.FAILED: {},
    Phase.CANCELLED: {},
}


def settle(phase: Phase, calls: planning.Calls) -> Phase:
    """Where a run rests. Only dispatching moves by itself: first what can run, then whom to ask, then what is back."""
    if phase is not DISPATCHING:
        return phase
    asked = back = False
    for call in calls.values():
        if call.status in RUNNING:
            if not call.after or planning.may_run(call, calls):
                return DISPATCHING
        elif call.status is ASKED:
            asked = True
        elif not call.judged:
            back = True
    if asked:
        return AWAITING
    return REFLECTING if back else REASONING


def evolve(state: RunState, event: ev.Event) -> RunState:
    """The state after `event`.

    Raises:
        IllegalEventError: the phase does not allow this event.
        StaleCompletionError: the event completes a tool call that nobody waits for.
    """
    kind = type(event)
    phase = TRANSITIONS[state.phase].get(kind)
    if phase is None:
        raise IllegalEventError(state.phase, ev.event_type(event))
    change = CHANGES.get(kind)
    after = state if change is None else change(state, event)
    if phase is DISPATCHING:
        phase = settle(phase, after.calls)
    return replace(after, phase=phase, seq=state.seq + 1, updated_at=event.at or state.updated_at)


Effects = tuple[eff.Effect, ...]


def owed(state: RunState) -> Effects:
    """What the run waits for, in the order in which to do it. Empty: it is over, or idle."""
    return OWED[state.phase](state)


def _nothing(_: RunState) -> Effects:
    return ()


def _context(_: RunState) -> Effects:
    return (eff.HydrateContext(),)


def _turn(state: RunState) -> Effects:
    limit = "" if state.limit_reached else limits.reached(state.limits, state.spent)
    if limit:
        return (eff.ConcludeAtLimit(limit=limit),)
    return (eff.AskModel(turn=state.spent.turns + 1, final=bool(state.limit_reached)),)


def _calls(state: RunState) -> Effects:
    ready: list[eff.Effect] = []
    asked: list[eff.Effect] = []
    for key, call in state.calls.items():
        if call.status is ASKED:
            asked.append(eff.AwaitDecision(tool_call_id=key))
        elif call.status in RUNNING and (not call.after or planning.may_run(call, state.calls)):
            ready.append(_execute(call))
    return (*ready, *asked)


def _decisions(state: RunState) -> Effects:
    return tuple(
        [eff.AwaitDecision(tool_call_id=key) for key, call in state.calls.items() if call.status is ASKED]
    )


def _verdict(state: RunState) -> Effects:
    attempts = 0
    for call in state.calls.values():  # `sum` over a generator is two calls
        attempts += call.attempt
    return (eff.JudgeResults(turn=state.spent.turns, attempts=attempts),)


def _check(state: RunState) -> Effects:
    return (eff.StoreOutcome() if state.answer_accepted else eff.CheckAnswer(turn=state.spent.turns),)


OWED: Mapping[Phase, Callable[[RunState], Effects]] = {
    Phase.IDLE: _nothing,
    Phase.PERCEIVING: _context,
    Phase.REASONING: _turn,
    Phase.DISPATCHING: _calls,
    Phase.AWAITING: _decisions,
    Phase.REFLECTING: _verdict,
    Phase.RESPONDING: _check,
    Phase.DONE: _nothing,
    Phase.FAILED: _nothing,
    Phase.CANCELLED: _nothing,
}
"""What each phase owes."""


def _execute(call: planning.CallState) -> eff.Effect:
    if call.status is DELEGATED:
        return eff.AwaitRun(tool_call_id=call.call.tool_call_id, run_id=call.run_id)
    return eff.ExecuteTool(
        tool_call_id=call.call.tool_call_id,
        attempt=call.attempt,
        approved=call.approved,
        interrupted=call.status is STARTED,
    )


def step(state: RunState, event: ev.Event) -> tuple[RunState, Effects]:
    """The state after `event`, and the effects that this event causes: owed now and not owed before."""
    before = owed(state)
    after = evolve(state, event)
    return after, tuple(effect for effect in owed(after) if effect not in before)


def replay(run_id: str, journal: Iterable[ev.Event]) -> RunState:
    """The state that a journal, or any prefix of one, leads to."""
    state = RunState(run_id=run_id)
    for event in journal:
        state = evolve(state, event)
    return state
