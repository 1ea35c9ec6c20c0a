"""Every cell of the table, every rule of `settle`, what each phase owes."""

from typing import get_args

import pytest
from msgspec.structs import replace

from agent_core import effects as eff
from agent_core import events as ev
from agent_core.errors import IllegalEventError, StaleCompletionError
from agent_core.limits import Limits
from agent_core.planning import CallState, CallStatus
from agent_core.state import Phase, RunState
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import TRANSITIONS, evolve, owed, replay, settle, step

EVENT_TYPES = get_args(ev.Event)
ENDS = (Phase.DONE, Phase.FAILED, Phase.CANCELLED)


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("phase", Phase)
def test_a_cell_of_the_table_is_legal_and_every_other_is_refused(phase, event_type, samples, state_in):
    state = state_in(phase)
    assert state.phase is phase
    if event_type in TRANSITIONS[phase]:
        after = evolve(state, samples[event_type])
        moved = replace(after, phase=TRANSITIONS[phase][event_type])
        assert after.phase is settle(moved.phase, moved.calls)
        assert settle(after.phase, after.calls) is after.phase
        assert after.seq == state.seq + 1
        assert after.updated_at == samples[event_type].at
    else:
        with pytest.raises(IllegalEventError) as caught:
            evolve(state, samples[event_type])
        assert caught.value.phase == phase
        assert caught.value.event_type == ev.event_type(event_type)
        assert caught.value.retryable is False


def test_every_phase_has_a_row_and_every_event_type_is_in_a_row():
    assert set(TRANSITIONS) == set(Phase)
    assert {event_type for row in TRANSITIONS.values() for event_type in row} == set(EVENT_TYPES)


@pytest.mark.parametrize("phase", ENDS)
def test_an_end_is_a_dead_end(phase, state_in):
    assert TRANSITIONS[phase] == {}
    assert owed(state_in(phase)) == ()
    assert state_in(phase).is_over


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in {*ENDS, Phase.IDLE}])
def test_a_run_can_be_cancelled_or_failed_from_every_phase_in_between(phase, samples, state_in):
    assert evolve(state_in(phase), samples[ev.RunCancelled]).phase is Phase.CANCELLED
    assert evolve(state_in(phase), samples[ev.RunFailed]).phase is Phase.FAILED
    assert owed(state_in(phase)) != ()


@pytest.mark.parametrize("phase", [Phase.REASONING, Phase.DISPATCHING, Phase.REFLECTING, Phase.RESPONDING])
def test_the_phase_reached_owes_what_the_table_of_the_design_says(phase, state_in):
    expected = {
        Phase.REASONING: (eff.AskModel(turn=1, final=False),),
        Phase.DISPATCHING: (
            eff.ExecuteTool(tool_call_id="c1", attempt=1, approved=False, interrupted=False),
            eff.AwaitDecision(tool_call_id="c2"),
        ),
        Phase.REFLECTING: (eff.JudgeResults(turn=1, attempts=2),),
        Phase.RESPONDING: (eff.CheckAnswer(turn=1),),
    }
    assert owed(state_in(phase)) == expected[phase]


def call(key, status=CallStatus.OPEN, *, after=(), judged=False):
    result = None
    if status in {CallStatus.RETURNED, CallStatus.FAILED}:
        result = ToolResult(tool_call_id=key, content="")
    return CallState(
        call=ToolCall(tool_call_id=key, name="t", arguments={}),
        status=status,
        after=after,
        judged=judged,
        result=result,
    )


OPEN, STARTED, ASKED = CallStatus.OPEN, CallStatus.STARTED, CallStatus.ASKED
RETURNED, FAILED = CallStatus.RETURNED, CallStatus.FAILED

SETTLE_CASES = {
    "no calls at all": ([], Phase.REASONING),
    "one can run": ([call("a")], Phase.DISPATCHING),
    "one runs": ([call("a", STARTED)], Phase.DISPATCHING),
    "one can run, one is asked": ([call("a"), call("b", ASKED)], Phase.DISPATCHING),
    "one can run, one is back": ([call("a"), call("b", RETURNED)], Phase.DISPATCHING),
    "one is asked, one is back": ([call("a", ASKED), call("b", RETURNED)], Phase.AWAITING),
    "all are back": ([call("a", FAILED), call("b", RETURNED)], Phase.REFLECTING),
    "one counts, one is back": ([call("a", RETURNED, judged=True), call("b", FAILED)], Phase.REFLECTING),
    "all count": ([call("a", RETURNED, judged=True), call("b", FAILED, judged=True)], Phase.REASONING),
    "one waits for a result that does not count": (
        [call("a", RETURNED), call("b", after=("a",))],
        Phase.REFLECTING,
    ),
    "one waits for a result that counts": (
        [call("a", RETURNED, judged=True), call("b", after=("a",))],
        Phase.DISPATCHING,
    ),
    "one waits for a failed one": ([call("a", FAILED), call("b", after=("a",))], Phase.REFLECTING),
    "one waits for an asked one": ([call("a", ASKED), call("b", after=("a",))], Phase.AWAITING),
}


@pytest.mark.parametrize(("calls", "phase"), SETTLE_CASES.values(), ids=SETTLE_CASES.keys())
def test_dispatching_settles_by_where_its_calls_are(calls, phase):
    state = RunState(run_id="r", phase=Phase.DISPATCHING, calls={one.call.tool_call_id: one for one in calls})
    assert settle(state.phase, state.calls) is phase


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DISPATCHING])
def test_no_other_phase_moves_by_itself(phase):
    calls = {"a": call("a")}
    assert settle(phase, calls) is phase


@pytest.mark.parametrize(
    "stale",
    [
        ev.ToolStarted(at=9.0, tool_call_id="c9"),
        ev.ToolReturned(at=9.0, tool_call_id="c2", content="asked, not run"),
        ev.ToolFailed(at=9.0, tool_call_id="c9", content="unknown"),
        ev.ApprovalRequested(at=9.0, tool_call_id="c2", reason="asked already"),
        ev.InputRequested(at=9.0, tool_call_id="c2", question="asked already"),
        ev.ApprovalGranted(at=9.0, tool_call_id="c1", by="ann"),
        ev.ApprovalDenied(at=9.0, tool_call_id="c1", by="ann"),
        ev.InputGiven(at=9.0, tool_call_id="c1", by="ann", text=""),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_completion_that_nobody_waits_for_is_stale(stale, state_in):
    state = state_in(Phase.DISPATCHING)
    with pytest.raises(StaleCompletionError) as caught:
        evolve(state, stale)
    assert caught.value.event_type == ev.event_type(stale)
    assert state == state_in(Phase.DISPATCHING)


def test_a_second_completion_of_one_call_is_stale(samples, state_in):
    once = evolve(state_in(Phase.DISPATCHING), ev.ToolStarted(at=4.0, tool_call_id="c1"))
    with pytest.raises(StaleCompletionError):
        evolve(once, ev.ToolStarted(at=4.0, tool_call_id="c1"))
    calls = ev.ToolsCalled(at=3.0, parts=samples[ev.ToolsCalled].message.parts, model="m")
    state = evolve(state_in(Phase.REASONING), calls)
    state = evolve(state, samples[ev.ToolReturned])
    with pytest.raises(StaleCompletionError):
        evolve(state, samples[ev.ToolFailed])


@pytest.mark.parametrize("verdict", [ev.ResultsRetried, ev.RunEscalated])
def test_a_verdict_on_a_call_that_is_not_back_is_stale(verdict, state_in):
    names = {"tool_call_ids": ("c9",)} if verdict is ev.ResultsRetried else {"tool_call_id": "c9"}
    with pytest.raises(StaleCompletionError):
        evolve(state_in(Phase.REFLECTING), verdict(at=9.0, reason="", **names))


def test_a_step_causes_what_is_owed_after_it_and_was_not_before(samples, state_in):
    state, effects = step(state_in(Phase.REASONING), samples[ev.ToolsCalled])
    execute = [
        eff.ExecuteTool(tool_call_id=key, attempt=1, approved=False, interrupted=False)
        for key in ("c1", "c2")
    ]
    assert list(effects) == execute
    state, effects = step(state, ev.ToolReturned(at=5.0, tool_call_id="c2", content=""))
    assert effects == ()
    state, effects = step(state, samples[ev.ToolReturned])
    assert effects == (eff.JudgeResults(turn=1, attempts=2),)
    state, effects = step(state, samples[ev.ResultsRetried])
    assert effects == (replace(execute[0], attempt=2),)


def test_a_limit_that_is_reached_gives_one_last_turn_without_tools(samples):
    started = replace(samples[ev.RunStarted], limits=Limits(turns=0))
    state = replay("r", [started, samples[ev.ContextHydrated]])
    assert owed(state) == (eff.ConcludeAtLimit(limit="turns"),)
    state = evolve(state, samples[ev.LimitReached])
    assert owed(state) == (eff.AskModel(turn=1, final=True),)


def test_an_interrupted_call_says_so(state_in, samples):
    state = evolve(state_in(Phase.DISPATCHING), samples[ev.ToolStarted])
    assert eff.ExecuteTool(tool_call_id="c1", attempt=1, approved=False, interrupted=True) in owed(state)


def test_an_answer_is_checked_then_stored(state_in, samples):
    state = evolve(state_in(Phase.RESPONDING), samples[ev.AnswerAccepted])
    assert owed(state) == (eff.StoreOutcome(),)


def test_awaiting_owes_the_decisions_alone(state_in):
    assert owed(state_in(Phase.AWAITING)) == (eff.AwaitDecision(tool_call_id="c2"),)


def test_perceiving_owes_the_context_and_idle_nothing(state_in):
    assert owed(state_in(Phase.PERCEIVING)) == (eff.HydrateContext(),)
    assert owed(state_in(Phase.IDLE)) == ()
