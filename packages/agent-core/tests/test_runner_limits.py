"""A limit that is reached loses no work: the model answers with what it has."""

import anyio
import pytest

from agent_core.events import LimitReached
from agent_core.limits import Limits
from agent_core.runner import Runner
from agent_core.state import Phase
from agent_core.system import SystemClock
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, ScriptedTools, answer, call
from agent_core.testing.models import calls
from agent_core.tools import ToolCall


def runner_in_real_time(replies, bodies):
    """Time limits stop real work, so the clock is real."""
    return Runner(
        model=ScriptedModel(replies),
        tools=ScriptedTools(bodies),
        memory=NoMemory(),
        journal=InMemoryJournal(),
        clock=SystemClock(),
    )


def many(count):
    return calls(*(ToolCall(tool_call_id=f"c{n}", name="work", arguments={}) for n in range(count)))


async def test_calls_over_the_limit_are_refused_and_the_others_kept(runner_of):
    runner = runner_of([many(5), answer("with three")], {"work": lambda: "done"})
    state = await runner.run("go", limits=Limits(tool_calls=3))
    assert (state.phase, state.answer, state.limit_reached) == (Phase.DONE, "with three", "tool_calls")
    assert len(runner.adapters.tools.ran) == 3
    results = runner.adapters.model.requests[1].messages[-1].tool_results
    assert [result.error for result in results] == ["", "", "", "limit_reached", "limit_reached"]
    assert not runner.adapters.model.requests[1].tools, "the last turn is offered no tools"


async def test_a_run_cut_off_at_its_limit_gets_its_last_turn_when_it_is_driven_again(runner_of):
    runner = runner_of([call("work"), answer("enough")], {"work": lambda: "done"})
    done = await runner.run("go", limits=Limits(turns=1))
    events = [stored.event async for stored in runner.adapters.journal.read(done.run_id)]
    reached = next(seq for seq, event in enumerate(events) if isinstance(event, LimitReached))
    state = await runner.drive(await runner.fork(done.run_id, reached))
    assert (state.phase, state.answer, state.limit_reached) == (Phase.DONE, "enough", "turns")


async def test_without_a_last_turn_the_run_fails_and_says_why(runner_of):
    runner = runner_of([call("work")], {"work": lambda: "done"})
    state = await runner.run("go", limits=Limits(turns=2, last_turn=False))
    assert state.phase is Phase.FAILED
    assert state.error == "limit_reached: the limit on turns was reached"


async def test_a_tool_that_outlasts_the_run_is_stopped_and_its_siblings_results_kept():
    stopped = []

    async def hang():
        try:
            await anyio.sleep(60)
        except BaseException:
            stopped.append(True)
            raise

    both = calls(*(ToolCall(tool_call_id=name, name=name, arguments={}) for name in ("hang", "work")))
    runner = runner_in_real_time([both, answer("with one")], {"hang": hang, "work": lambda: "done"})
    with anyio.fail_after(10):
        state = await runner.run("go", limits=Limits(wall_time_s=0.2))
    assert (state.answer, state.limit_reached) == ("with one", "wall_time_s")
    assert stopped == [True]
    results = runner.adapters.model.requests[1].messages[-1].tool_results
    assert [(result.tool_call_id, result.error) for result in results] == [
        ("hang", "limit_reached"),
        ("work", ""),
    ]


async def test_a_model_that_outlasts_the_run_gets_its_last_turn():
    class Slow(ScriptedModel):
        async def stream(self, request):
            if not self.requests:
                self.requests.append(request)
                await anyio.sleep(60)
            async for item in super().stream(request):
                yield item

    runner = Runner(
        model=Slow([answer("never"), answer("in short")]),
        tools=ScriptedTools({}),
        memory=NoMemory(),
        journal=InMemoryJournal(),
    )
    with anyio.fail_after(10):
        state = await runner.run("go", limits=Limits(wall_time_s=0.1))
    assert (state.phase, state.answer, state.limit_reached) == (Phase.DONE, "in short", "wall_time_s")


async def test_a_last_turn_that_hangs_fails_the_run(monkeypatch):
    class Stuck(ScriptedModel):
        async def stream(self, request):
            self.requests.append(request)
            await anyio.sleep(60)
            yield  # an async generator that never gets here

    monkeypatch.setattr("agent_core.drive.LAST_TURN_S", 0.1)
    runner = Runner(model=Stuck([]), tools=ScriptedTools({}), memory=NoMemory(), journal=InMemoryJournal())
    with anyio.fail_after(10):
        state = await runner.run("go", limits=Limits(wall_time_s=0.1))
    assert state.phase is Phase.FAILED
    assert "last turn took too long" in state.error


async def test_time_that_was_up_before_a_restart_is_up_after_it(runner_of):
    runner = runner_of([call("work"), answer("late")], {"work": lambda: "done"})
    run_id = await runner.start("go", limits=Limits(wall_time_s=60.0))
    runner.adapters.clock.advance(3600)
    state = await runner.drive(run_id)
    assert (state.phase, state.limit_reached) == (Phase.DONE, "wall_time_s")
    assert runner.adapters.tools.ran == []


@pytest.mark.parametrize("name", ["input_tokens", "total_tokens"])
async def test_tokens_are_counted_over_turns(runner_of, name):
    runner = runner_of([call("work"), call("work"), answer("enough")], {"work": lambda: "done"})
    state = await runner.run("go", limits=Limits(**{name: 4}))  # one message, then three
    assert (state.answer, state.limit_reached, state.spent.turns) == ("enough", name, 3)
    assert [bool(request.tools) for request in runner.adapters.model.requests] == [True, True, False]
