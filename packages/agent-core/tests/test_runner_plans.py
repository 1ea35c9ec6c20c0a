"""A plan is run in the order of its edges, a failure blocks only what depends on it, a crash changes nothing."""

import anyio
import pytest

from agent_core import events as ev
from agent_core.chat import Completion
from agent_core.errors import IllegalEventError
from agent_core.messages import FinishReason, assistant
from agent_core.policy import Decision, Verdict
from agent_core.proposal import Proposal
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, ScriptedModel, ScriptedTools, answer, call
from agent_core.testing.models import calls
from agent_core.tool_modes import TurnOutcome
from agent_core.tools import ToolCall

PLAN = calls(*(ToolCall(tool_call_id=key, name=key, arguments={}) for key in "dcba"))
AFTER = {"c": ("a",), "d": ("b", "c")}


async def planned(runner):
    run_id = await runner.start("go")
    plan = ev.PlanProposed(at=1.0, parts=PLAN.parts, model="m", after=AFTER)
    await runner.adapters.journal.append(run_id, 1, (ev.ContextHydrated(at=1.0), plan), writer="planner")
    return run_id


async def test_calls_run_once_what_they_wait_for_has_come_back(runner_of):
    order = []

    def body(name):
        async def run():
            order.append(f"+{name}")
            await anyio.lowlevel.checkpoint()
            order.append(f"-{name}")
            return name

        return run

    runner = runner_of([answer("done")], {name: body(name) for name in "abcd"})
    state = await runner.drive(await planned(runner))
    assert state.answer == "done"
    assert set(order[:2]) == {"+a", "+b"}
    assert order[4:] == ["+c", "-c", "+d", "-d"]
    contents = [[result.content for result in message.tool_results] for message in state.messages]
    assert [one for one in contents if one] == [["b", "a"], ["c"], ["d"]]


async def test_a_failed_call_blocks_only_what_waits_for_it(runner_of):
    def bad():
        raise ValueError("no")

    tools = ScriptedTools({"a": bad, "b": lambda: "b", "c": lambda: "c", "d": lambda: "d"})
    runner = runner_of([answer("done")], tools)
    state = await runner.drive(await planned(runner))
    assert state.phase is Phase.DONE
    assert sorted(one.name for one, _ in tools.ran) == ["a", "b"]
    results = {
        result.tool_call_id: result.error for message in state.messages for result in message.tool_results
    }
    assert results == {"a": "failed", "b": "", "c": "skipped", "d": "skipped"}


@pytest.mark.parametrize(
    ("message", "plan", "final", "kind"),
    [
        (assistant("hi"), None, False, ev.ModelAnswered),
        (PLAN, None, False, ev.ToolsCalled),
        (PLAN, Proposal(calls=(), after={}), False, ev.PlanProposed),
        (PLAN, Proposal(calls=(), after={}), True, ev.ModelAnswered),
    ],
)
def test_the_event_of_a_turn(message, plan, final, kind):
    event = TurnOutcome(message=message, model="m").event(1.0, final=final, plan=plan)
    assert type(event) is kind
    if final:
        assert event.message.tool_calls == ()


async def test_the_model_is_closed_once_it_has_completed(runner_of):
    closed = []

    class Open(ScriptedModel):
        async def stream(self, request):
            try:
                yield Completion(message=assistant("hi"), model="m", finish_reason=FinishReason.LENGTH)
                yield Completion(message=assistant("never asked for"), model="m")
            finally:
                closed.append(True)

    state = await runner_of(Open([])).run("go")
    assert state.answer == "hi"
    assert closed == [True]


async def test_a_command_looks_again_where_the_run_has_moved_on(runner_of):
    class Busy(InMemoryJournal):
        """A person denies in the moment in which another one allows."""

        async def append(self, run_id, expected_seq, events, *, writer):
            if isinstance(events[0], ev.ApprovalGranted):
                other = ev.ApprovalDenied(at=1.0, tool_call_id=events[0].tool_call_id, by="bob")
                await super().append(run_id, expected_seq, (other,), writer="bob")
            return await super().append(run_id, expected_seq, events, writer=writer)

    ask = Decision(verdict=Verdict.ASK, reason="?")
    runner = runner_of([call("rm"), answer("no")], {"rm": str}, policy=lambda *_: ask, journal=Busy())
    state = await runner.run("go")
    (key,) = state.calls
    with pytest.raises(IllegalEventError, match="in phase 'reflecting'"):
        await runner.send(state.run_id, ev.ApprovalGranted(at=1.0, tool_call_id=key, by="ann"))
    assert (await runner.drive(state.run_id)).answer == "no"


async def test_only_a_person_is_waited_for_and_nothing_performs_that(runner_of):
    ask = Decision(verdict=Verdict.ASK, reason="?")
    runner = runner_of([call("rm")], {"rm": str}, policy=lambda *_: ask)
    state = await runner.run("go")
    events = len(runner.adapters.journal.runs[state.run_id])
    for _ in range(3):
        assert (await runner.drive(state.run_id)) == state
    assert len(runner.adapters.journal.runs[state.run_id]) == events
