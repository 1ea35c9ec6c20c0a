"""What holds on every legal walk through the machine."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core import events as ev
from agent_core.errors import StaleCompletionError
from agent_core.limits import Limits
from agent_core.messages import Message, Usage, assistant, user
from agent_core.planning import CallStatus, asked, ready
from agent_core.state import Phase, RunState
from agent_core.tools import ToolCall
from agent_core.transitions import evolve, owed, replay, settle, step

MAX_STEPS = 30


def _called(draw, state, at):
    count = draw(st.integers(0, 4))
    keys = [f"t{state.spent.turns}.{index}" for index in range(count)]
    message = Message(
        role="assistant", parts=tuple(ToolCall(tool_call_id=key, name="t", arguments={}) for key in keys)
    )
    usage = Usage(input_tokens=draw(st.integers(0, 9)))
    if not draw(st.booleans()):
        return ev.ToolsCalled(at=at, parts=message.parts, model="m", usage=usage)
    after = {
        key: tuple(draw(st.lists(st.sampled_from(keys[:index]), unique=True, max_size=2)))
        for index, key in enumerate(keys)
        if index
    }
    return ev.PlanProposed(at=at, parts=message.parts, model="m", usage=usage, after=after)


def _next_event(draw, state):
    """A legal event, or None at an end. Stopping events are rare, so that walks get long."""
    at = state.updated_at + 1
    if state.phase is Phase.IDLE:
        limits = Limits(turns=draw(st.integers(1, 6)))
        return ev.RunStarted(at=at, run_id="r", session_id="s", input=user("go"), model="m", limits=limits)
    if not state.is_over and draw(st.integers(0, 40)) == 0:
        return draw(
            st.sampled_from([ev.RunCancelled(at=at, by="x"), ev.RunFailed(at=at, code="c", reason="")])
        )
    return _PICK[state.phase](draw, state, at)


def _reason(draw, state, at):
    answered = ev.ModelAnswered(at=at, parts=assistant("a").parts, model="m", usage=Usage(output_tokens=1))
    kinds = [answered, ev.LimitReached(at=at, limit="turns")]
    return _called(draw, state, at) if draw(st.integers(0, 3)) else draw(st.sampled_from(kinds))


def _in_calls(draw, state, at):
    runnable = ready(state.calls) if state.phase is Phase.DISPATCHING else ()
    events = []
    for call in runnable:
        key = call.call.tool_call_id
        events += [ev.ToolStarted(at=at, tool_call_id=key)] if call.status is CallStatus.OPEN else []
        events += [
            ev.ToolReturned(at=at, tool_call_id=key, content="ok"),
            ev.ToolFailed(at=at, tool_call_id=key, content="no", error="failed"),
            ev.ApprovalRequested(at=at, tool_call_id=key, reason="?"),
            ev.InputRequested(at=at, tool_call_id=key, question="?"),
        ]
    for call in asked(state.calls):
        key = call.call.tool_call_id
        events += [
            ev.ApprovalGranted(at=at, tool_call_id=key, by="p", arguments={"edited": True}),
            ev.ApprovalGranted(at=at, tool_call_id=key, by="p"),
            ev.ApprovalDenied(at=at, tool_call_id=key, by="p"),
            ev.InputGiven(at=at, tool_call_id=key, by="p", text="t"),
        ]
    return draw(st.sampled_from(events))


def _reflect(draw, state, at):
    back = [key for key, call in state.calls.items() if call.is_back and not call.judged]
    return draw(
        st.sampled_from(
            [
                ev.ResultsAccepted(at=at),
                ev.ResultsRetried(at=at, tool_call_ids=(back[0],), reason="r"),
                ev.ResultsRevised(at=at, reason="r"),
                ev.RunEscalated(at=at, tool_call_id=back[-1], reason="r"),
            ]
        )
    )


def _respond(draw, state, at):
    return draw(
        st.sampled_from(
            [ev.AnswerAccepted(at=at), ev.AnswerRevised(at=at, reason="again"), ev.OutcomeStored(at=at)]
        )
    )


_PICK = {
    Phase.PERCEIVING: lambda draw, state, at: ev.ContextHydrated(at=at, messages=(user("before"),)),
    Phase.REASONING: _reason,
    Phase.DISPATCHING: _in_calls,
    Phase.AWAITING: _in_calls,
    Phase.REFLECTING: _reflect,
    Phase.RESPONDING: _respond,
    Phase.DONE: lambda draw, state, at: None,
    Phase.FAILED: lambda draw, state, at: None,
    Phase.CANCELLED: lambda draw, state, at: None,
}


@st.composite
def walks(draw):
    """A legal journal."""
    state, events = RunState(run_id="r"), []
    for _ in range(draw(st.integers(1, MAX_STEPS))):
        event = _next_event(draw, state)
        if event is None:
            break
        events.append(event)
        state = evolve(state, event)
    return events


def states_of(events):
    """The states of a live run: each evolved from the one before."""
    return list(accumulate(events, evolve, initial=RunState(run_id="r")))


LAW = settings(max_examples=150, deadline=None)


@LAW
@given(walks())
def test_every_prefix_replays_to_the_same_state_and_owes_the_same(events):
    states = states_of(events)
    for length, live in enumerate(states):
        replayed = replay("r", events[:length])
        assert replayed == live
        assert owed(replayed) == owed(live)


@LAW
@given(walks())
def test_a_phase_is_at_rest_and_seq_counts_events(events):
    states = states_of(events)
    for count, state in enumerate(states):
        assert settle(state.phase, state.calls) is state.phase
        assert state.seq == count


@LAW
@given(walks())
def test_a_run_owes_something_until_it_is_over(events):
    states = states_of(events)
    for state in states[1:]:
        assert bool(owed(state)) is not state.is_over
        assert len(set(owed(state))) == len(owed(state))


@LAW
@given(walks())
def test_a_step_causes_the_difference_of_what_is_owed(events):
    states = states_of(events)
    for before, event, after in zip(states, events, states[1:], strict=False):
        state, effects = step(before, event)
        assert state == after
        assert set(effects) == set(owed(after)) - set(owed(before))


@LAW
@given(walks())
def test_old_states_are_never_changed(events):
    states = states_of(events)
    assert states == [replay("r", events[:length]) for length in range(len(states))]
    for state in states:  # a fork: another future does not disturb the one that was
        if state.phase is Phase.REASONING:
            evolve(state, ev.ModelAnswered(at=99.0, parts=assistant("a fork").parts, model="m"))
    assert states == [replay("r", events[:length]) for length in range(len(states))]


@LAW
@given(walks())
def test_every_tool_call_has_exactly_one_result_before_the_model_is_asked_again(events):
    states = states_of(events)
    for state in states:
        if state.phase is Phase.REASONING:
            called = [call.tool_call_id for message in state.messages for call in message.tool_calls]
            results = [one.tool_call_id for message in state.messages for one in message.tool_results]
            assert sorted(called) == sorted(results)


@LAW
@given(walks())
def test_a_result_that_is_back_cannot_come_back_again(events):
    states = states_of(events)
    for state in states:
        if state.phase is not Phase.DISPATCHING:
            continue
        for key, call in state.calls.items():
            if call.is_back:
                again = ev.ToolReturned(at=99.0, tool_call_id=key, content="again")
                with pytest.raises(StaleCompletionError):
                    evolve(state, again)


@LAW
@given(walks())
def test_spent_counts_turns_calls_and_tokens(events):
    states = states_of(events)
    turns = [e for e in events if isinstance(e, ev.ModelAnswered | ev.ToolsCalled | ev.PlanProposed)]
    spent = states[-1].spent
    assert spent.turns == len(turns)
    assert spent.tool_calls == sum(len(turn.message.tool_calls) for turn in turns)
    assert spent.usage.total_tokens == sum(turn.usage.total_tokens for turn in turns)
