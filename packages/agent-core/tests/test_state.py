"""What each event records, and what it leaves alone."""

import pytest

from agent_core import events as ev
from agent_core.limits import Limits
from agent_core.messages import Message, Text, Usage, assistant, user
from agent_core.planning import CallStatus
from agent_core.state import Phase, RunState
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import evolve, replay


def after(state, *events):
    for event in events:
        state = evolve(state, event)
    return state


def test_a_started_run_holds_its_input():
    started = ev.RunStarted(
        at=5.0,
        run_id="r",
        session_id="s",
        input=user("hi"),
        model="a:b",
        instructions="be kind",
        limits=Limits(turns=3),
    )
    state = evolve(RunState(run_id="r"), started)
    assert (state.session_id, state.model, state.instructions) == ("s", "a:b", "be kind")
    assert state.input == user("hi")
    assert list(state.messages) == [user("hi")]
    assert state.limits.turns == 3
    assert state.started_at == state.updated_at == 5.0


def test_the_context_belongs_before_the_input(state_in):
    assert [message.text for message in state_in(Phase.REASONING).messages] == ["earlier", "hi"]


def test_an_answer_is_a_turn(state_in):
    usage = Usage(input_tokens=10, output_tokens=2)
    answered = ev.ModelAnswered(at=31.0, parts=assistant("42").parts, model="m", usage=usage)
    state = evolve(state_in(Phase.REASONING), answered)
    assert state.answer == "42"
    assert state.usage == usage
    assert (state.spent.turns, state.spent.tool_calls, state.spent.wall_time_s) == (1, 0, 30.0)
    assert state.messages[-1] == assistant("42")


def test_called_tools_become_the_calls_of_the_turn(state_in, samples):
    state = evolve(state_in(Phase.REASONING), samples[ev.ToolsCalled])
    assert list(state.calls) == ["c1", "c2"]
    assert state.spent.tool_calls == 2
    assert all(call.status is CallStatus.OPEN for call in state.calls.values())


def test_a_plan_keeps_what_waits_for_what(state_in, samples):
    state = evolve(state_in(Phase.REASONING), samples[ev.PlanProposed])
    assert state.calls["c1"].after == ()
    assert state.calls["c2"].after == ("c1",)


def test_results_become_one_message_once_they_count(state_in, samples):
    state = state_in(Phase.REFLECTING)
    assert all(message.role != "tool" for message in state.messages)
    state = evolve(state, samples[ev.ResultsAccepted])
    assert state.phase is Phase.REASONING
    assert state.messages[-1].role == "tool"
    assert [result.content for result in state.messages[-1].tool_results] == ["one", "the blue one"]


def test_accepted_failures_skip_what_waits_for_them(state_in, samples):
    state = after(
        state_in(Phase.REASONING),
        samples[ev.PlanProposed],
        samples[ev.ToolFailed],
        samples[ev.ResultsAccepted],
    )
    assert state.phase is Phase.REASONING
    assert [result.error for result in state.messages[-1].tool_results] == ["failed", "skipped"]
    assert "needs the result of c1" in state.messages[-1].tool_results[1].content


def test_a_revised_plan_is_dropped_with_the_reason(state_in, samples):
    state = after(
        state_in(Phase.REASONING),
        samples[ev.PlanProposed],
        samples[ev.ToolReturned],
        samples[ev.ResultsRevised],
    )
    assert state.phase is Phase.REASONING
    assert [result.error for result in state.messages[-1].tool_results] == ["", "skipped"]
    assert state.messages[-1].text == "think again"


def test_a_retried_call_is_open_again_and_its_result_forgotten(state_in, samples):
    state = evolve(state_in(Phase.REFLECTING), samples[ev.ResultsRetried])
    call = state.calls["c1"]
    assert (call.status, call.attempt, call.result) == (CallStatus.OPEN, 2, None)
    assert state.calls["c2"].status is CallStatus.RETURNED


def test_an_approval_may_edit_the_arguments(state_in):
    granted = ev.ApprovalGranted(at=6.0, tool_call_id="c2", by="ann", arguments={"y": "three"})
    call = evolve(state_in(Phase.AWAITING), granted).calls["c2"]
    assert call.approved
    assert call.call.arguments == {"y": "three"}


def test_an_approval_as_shown_keeps_the_arguments(state_in, samples):
    call = evolve(state_in(Phase.AWAITING), samples[ev.ApprovalGranted]).calls["c2"]
    assert call.approved
    assert call.call.arguments == {"y": "two"}


@pytest.mark.parametrize(
    ("reason", "content"), [("", "A person denied this call"), ("no", "A person denied this call: no")]
)
def test_a_denial_is_a_failure_that_the_model_reads(reason, content, state_in):
    denied = ev.ApprovalDenied(at=6.0, tool_call_id="c2", by="ann", reason=reason)
    call = evolve(state_in(Phase.AWAITING), denied).calls["c2"]
    assert call.status is CallStatus.FAILED
    assert call.result == ToolResult(tool_call_id="c2", content=content, error="denied")


def test_a_reply_is_the_result_of_the_call(state_in, samples):
    call = evolve(state_in(Phase.AWAITING), samples[ev.InputGiven]).calls["c2"]
    assert call.status is CallStatus.RETURNED
    assert call.result == ToolResult(tool_call_id="c2", content="the blue one")


@pytest.mark.parametrize(
    ("back", "status"), [(ev.ToolReturned, CallStatus.RETURNED), (ev.ToolFailed, CallStatus.FAILED)]
)
def test_an_escalated_result_that_a_person_lets_pass_keeps_its_kind(back, status, state_in, samples):
    state = after(
        state_in(Phase.DISPATCHING), samples[back], samples[ev.ApprovalDenied], samples[ev.RunEscalated]
    )
    assert state.phase is Phase.AWAITING
    assert state.calls["c1"].question == "look at this"
    state = evolve(state, ev.ApprovalGranted(at=9.0, tool_call_id="c1", by="ann"))
    assert state.phase is Phase.REFLECTING
    assert state.calls["c1"].status is status
    assert state.calls["c1"].result == samples[back].result


def test_a_person_may_replace_an_escalated_result(state_in, samples):
    state = after(state_in(Phase.REFLECTING), samples[ev.RunEscalated])
    state = evolve(state, ev.InputGiven(at=9.0, tool_call_id="c1", by="ann", text="use this"))
    assert state.calls["c1"].result == ToolResult(tool_call_id="c1", content="use this")


def test_a_revised_answer_is_forgotten_and_its_reason_is_asked(state_in, samples):
    state = after(state_in(Phase.RESPONDING), samples[ev.AnswerAccepted], samples[ev.AnswerRevised])
    assert state.phase is Phase.REASONING
    assert state.answer == ""
    assert state.messages[-1] == Message(role="user", parts=(Text(text="too short"),), note=True)
    state = evolve(state, samples[ev.ModelAnswered])
    assert not state.answer_accepted


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (ev.RunCancelled(at=1.0, by="ann"), "cancelled by ann"),
        (ev.RunCancelled(at=1.0, by="ann", reason="late"), "cancelled by ann: late"),
        (ev.RunFailed(at=1.0, code="broken", reason="disk"), "broken: disk"),
        (ev.ModelFailed(at=1.0, code="refused", reason="no"), "refused: no"),
    ],
)
def test_an_end_says_why(event, error, state_in):
    assert evolve(state_in(Phase.REASONING), event).error == error


def test_tools_that_take_long_count_as_time(state_in, samples):
    late = ev.ToolReturned(at=101.0, tool_call_id="c1", content="")
    assert evolve(state_in(Phase.DISPATCHING), late).spent.wall_time_s == 100.0


def test_the_run_id_is_the_one_in_the_journal(samples):
    assert replay("", [samples[ev.RunStarted]]).run_id == "r"


def test_a_model_that_calls_no_tool_in_a_call_goes_on_reasoning(state_in):
    called = ev.ToolsCalled(at=3.0, parts=assistant("hm").parts, model="m")
    assert evolve(state_in(Phase.REASONING), called).phase is Phase.REASONING


def test_messages_of_two_parts_keep_both(state_in):
    call = ToolCall(tool_call_id="c", name="t", arguments={})
    message = Message(role="assistant", parts=(Text(text="let me look"), call))
    state = evolve(state_in(Phase.REASONING), ev.ToolsCalled(at=3.0, parts=message.parts, model="m"))
    assert state.messages[-1].text == "let me look"
    assert state.messages[-1].tool_calls == (call,)
