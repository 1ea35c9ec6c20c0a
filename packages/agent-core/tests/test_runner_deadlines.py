"""Tools that do not end: their deadline does, alone or beside others, and nothing of them is left behind."""

import asyncio

import anyio
import pytest

from agent_core import Phase
from agent_core import events as ev
from agent_core.testing import InMemoryJournal, ScriptedTools, answer, call
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolSpec

SHORT_S = 0.05


class Hanging(ScriptedTools):
    """Tools of which `hang` never ends by itself."""

    def __init__(self, **fields):
        def spec(name, timeout_s):
            return ToolSpec(
                name=name, description="", parameters={"type": "object"}, timeout_s=timeout_s, **fields
            )

        super().__init__(
            {"hang": self._hang, "quick": lambda: "quick is done"},
            specs=[spec("hang", SHORT_S), spec("quick", 30.0)],
        )
        self.ended = 0

    async def _hang(self):
        try:
            await anyio.sleep_forever()
        finally:
            self.ended += 1


def results(state):
    return {result.tool_call_id: result for message in state.messages for result in message.tool_results}


async def test_a_hung_tool_is_ended_by_its_deadline(runner_of):
    tools = Hanging(idempotent=False)
    with anyio.fail_after(10):
        state = await runner_of([call("hang", tool_call_id="h"), answer("so be it")], tools).run("go")
    assert (state.phase, state.answer, tools.ended) == (Phase.DONE, "so be it", 1)
    assert (results(state)["h"].error, "did not end within 0.05 s" in results(state)["h"].content) == (
        "timeout",
        True,
    )


async def test_a_hung_tool_that_may_be_called_again_is(runner_of):
    tools = Hanging(idempotent=True)
    with anyio.fail_after(10):
        state = await runner_of([call("hang", tool_call_id="h"), answer("so be it")], tools).run("go")
    assert (tools.ended, results(state)["h"].error) == (2, "timeout")


async def test_a_hung_tool_costs_its_siblings_nothing(runner_of):
    both = calls(*[ToolCall(tool_call_id=name, name=name, arguments={}) for name in ("hang", "quick")])
    with anyio.fail_after(10):
        state = await runner_of([both, answer("done")], Hanging(idempotent=False)).run("go")
    assert {key: result.error for key, result in results(state).items()} == {"hang": "timeout", "quick": ""}
    assert results(state)["quick"].content == "quick is done"


async def test_the_next_tool_and_the_next_turn_have_all_their_time(runner_of):
    async def slow():
        await anyio.sleep(3 * SHORT_S)
        return "slow is done"

    tools = Hanging(idempotent=False)
    tools._bodies["quick"] = slow
    script = [call("hang", tool_call_id="h"), call("quick", tool_call_id="q"), answer("done")]
    state = await runner_of(script, tools).run("go")
    assert (results(state)["h"].error, results(state)["q"].content) == ("timeout", "slow is done")


class Slow(InMemoryJournal):
    """Waits before it writes, as one on a disk does."""

    async def append(self, run_id, expected_seq, events, *, writer):
        await anyio.lowlevel.checkpoint()
        return await super().append(run_id, expected_seq, events, writer=writer)


@pytest.mark.parametrize("journal", [InMemoryJournal, Slow])
async def test_a_result_that_comes_as_the_time_is_up_counts_and_costs_the_next_tool_nothing(
    runner_of, journal
):
    async def stubborn():
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "a part"

    async def quick():
        await anyio.sleep(0.001)
        return "quick is done"

    tools = Hanging(idempotent=False)
    tools._bodies |= {"hang": stubborn, "quick": quick}
    script = [call("hang", tool_call_id="h"), call("quick", tool_call_id="q"), answer("done")]
    runner = runner_of(script, tools, journal=journal())
    state = await runner.run("go")
    assert {key: result.content for key, result in results(state).items()} == {
        "h": "a part",
        "q": "quick is done",
    }
    assert (state.phase, len(tools.ran), len(runner.adapters.model.requests)) == (Phase.DONE, 2, 3)


async def test_runs_of_a_session_do_not_overlap_where_a_tool_is_late(runner_of):
    order = []

    class Watching:
        def on_event(self, stored, state):
            if isinstance(stored.event, ev.ContextHydrated | ev.OutcomeStored):
                order.append((stored.run_id, stored.event.__class__.__name__))

        def on_delta(self, run_id, delta):
            pass

    def script(request):
        last = request.messages[-1]
        return answer("done") if last.role == "tool" else call("hang")

    runner = runner_of([script], Hanging(idempotent=False), observers=[Watching()])
    run_ids = [await runner.start("go", session_id="s") for _ in range(2)]
    async with anyio.create_task_group() as tasks:
        for run_id in run_ids:
            tasks.start_soon(runner.drive, run_id)
    assert [run_id for run_id, _ in order] == [run_ids[0], run_ids[0], run_ids[1], run_ids[1]]


@pytest.mark.parametrize("others", [0, 1])
async def test_cancelling_leaves_no_task_behind(runner_of, others):
    began = anyio.Event()
    tools = Hanging(idempotent=True)
    hang = tools._bodies["hang"]
    tools._specs = {
        name: ToolSpec(name=name, description="", parameters={}, timeout_s=60.0) for name in tools._specs
    }

    async def noticed():
        began.set()
        await hang()

    tools._bodies["hang"] = noticed
    made = [ToolCall(tool_call_id=f"c{n}", name="hang", arguments={}) for n in range(1 + others)]
    runner = runner_of([calls(*made), answer("x")], tools)
    run_id = await runner.start("go")
    before = asyncio.all_tasks()
    async with anyio.create_task_group() as group:
        group.start_soon(runner.drive, run_id)
        await began.wait()
        with anyio.fail_after(30):
            state = await runner.cancel(run_id, by="a new user")
    assert (state.phase, tools.ended) == (Phase.CANCELLED, 1 + others)
    assert asyncio.all_tasks() == before
    assert not runner._driven
