"""How tool calls are performed: in parallel, with siblings' results kept, and what each failure becomes."""

import anyio
import pytest

from agent_core import events as ev
from agent_core.drive import MAX_PARALLEL_TOOLS
from agent_core.messages import Message
from agent_core.state import Phase
from agent_core.testing import ScriptedModel, ScriptedTools, answer, call, tool
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolResult


def several(*names):
    return calls(
        *(ToolCall(tool_call_id=f"c{index}", name=name, arguments={}) for index, name in enumerate(names))
    )


def results(state):
    return {result.tool_call_id: result for message in state.messages for result in message.tool_results}


async def test_calls_of_one_turn_run_in_parallel(runner_of):
    both = anyio.Event()
    running = []

    async def meet():
        running.append(1)
        if len(running) == 2:
            both.set()
        await both.wait()
        return "met"

    state = await runner_of([several("meet", "meet"), answer("done")], {"meet": meet}).run("go")
    assert [result.content for result in results(state).values()] == ["met", "met"]


async def test_results_are_read_in_the_order_of_the_calls_whoever_is_first(runner_of):
    first_may_end = anyio.Event()

    async def first():
        await first_may_end.wait()
        return "1"

    def second():
        first_may_end.set()
        return "2"

    runner = runner_of([several("first", "second"), answer("done")], {"first": first, "second": second})
    state = await runner.run("go")
    assert [result.content for result in state.messages[2].tool_results] == ["1", "2"]


async def test_no_more_calls_run_at_once_than_there_are_places(runner_of):
    running, most = 0, 0

    async def busy():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001)
        running -= 1
        return "ok"

    runner = runner_of([several(*["busy"] * 20), answer("done")], {"busy": busy})
    state = await runner.run("go")
    assert most == MAX_PARALLEL_TOOLS
    assert len(results(state)) == 20


async def test_a_tool_that_fails_leaves_its_siblings_results_alone(runner_of):
    def bad():
        raise ValueError("broken")

    async def good():
        await anyio.lowlevel.checkpoint()
        return "fine"

    runner = runner_of([several("good", "bad", "good"), answer("done")], {"good": good, "bad": bad})
    state = await runner.run("go")
    assert state.phase is Phase.DONE
    assert [(one.content, one.error) for one in results(state).values()] == [
        ("fine", ""),
        ("broken", "failed"),
        ("fine", ""),
    ]


async def test_a_tool_runner_that_raises_leaves_its_siblings_results_alone(runner_of):
    class Crashing(ScriptedTools):
        async def run(self, call, context):
            if call.name == "bad":
                raise RuntimeError("no")
            await anyio.lowlevel.checkpoint()
            return await super().run(call, context)

    tools = Crashing({"good": lambda: "fine", "bad": lambda: ""})
    state = await runner_of([several("bad", "good"), answer("done")], tools).run("go")
    assert state.phase is Phase.DONE
    assert [one.error for one in results(state).values()] == ["crashed", ""]
    assert results(state)["c0"].content == "The tool crashed: RuntimeError: no"


async def test_a_failure_that_may_pass_is_tried_again_once(runner_of):
    class Flaky(ScriptedTools):
        async def run(self, call, context):
            await super().run(call, context)
            if context.attempt == 1 or call.name == "never":
                return ToolResult(
                    tool_call_id=call.tool_call_id, content="busy", error="busy", retryable=True
                )
            return ToolResult(tool_call_id=call.tool_call_id, content="ok")

    tools = Flaky({"once": lambda: "", "never": lambda: ""})
    state = await runner_of([several("once", "never"), answer("done")], tools).run("go")
    assert [one.error for one in results(state).values()] == ["", "busy"]
    assert [(one.name, context.attempt) for one, context in tools.ran] == [
        ("once", 1),
        ("never", 1),
        ("once", 2),
        ("never", 2),
    ]
    keys = {(one.name, context.idempotency_key) for one, context in tools.ran}
    assert len(keys) == 2


async def test_an_unknown_tool_is_a_failure_that_the_model_reads(runner_of):
    model = ScriptedModel([call("imagined"), answer("sorry")])
    state = await runner_of(model, {"real": lambda: ""}).run("go")
    assert state.answer == "sorry"
    result = model.requests[1].messages[-1].tool_results[0]
    assert (result.error, result.content) == ("unknown_tool", "There is no tool 'imagined'; there are: real.")


async def test_a_result_under_a_wrong_id_counts_for_the_call_that_was_made(runner_of):
    class Careless(ScriptedTools):
        async def run(self, call, context):
            result = await super().run(call, context)
            return ToolResult(tool_call_id="", content=result.content)

    tools = Careless({"t": lambda: "ok"})
    with anyio.fail_after(30):
        state = await runner_of([several("t"), answer("done")], tools).run("go")
    assert results(state) == {"c0": ToolResult(tool_call_id="c0", content="ok")}
    assert len(tools.ran) == 1


async def test_only_a_tool_that_is_not_idempotent_journals_its_intent(runner_of):
    tools = ScriptedTools({"read": lambda: "r", "send": lambda: "s"}, specs=[tool("send", idempotent=False)])
    runner = runner_of([several("read", "send"), answer("done")], tools)
    state = await runner.run("go")
    stored = [one.event for one in runner.adapters.journal.runs[state.run_id]]
    assert [one.tool_call_id for one in stored if isinstance(one, ev.ToolStarted)] == ["c1"]


async def test_a_tool_knows_which_run_it_serves_and_its_key_never_changes(runner_of):
    tools = ScriptedTools({"t": lambda: "ok"})
    runner = runner_of([several("t"), several("t"), answer("done")], tools)
    state = await runner.run("go", session_id="s")
    contexts = [context for _, context in tools.ran]
    assert {(context.run_id, context.session_id) for context in contexts} == {(state.run_id, "s")}
    assert len({context.idempotency_key for context in contexts}) == 2
    assert not any(context.interrupted for context in contexts)


async def test_calls_without_ids_or_with_the_same_id_get_their_own(runner_of):
    message = Message(
        role="assistant",
        parts=(
            ToolCall(tool_call_id="", name="t", arguments={}),
            ToolCall(tool_call_id="x", name="t", arguments={}),
            ToolCall(tool_call_id="x", name="t", arguments={}),
        ),
    )
    tools = ScriptedTools({"t": lambda: "ok"})
    state = await runner_of([message, answer("done")], tools).run("go")
    assert len(results(state)) == 3


@pytest.mark.parametrize("turns", [1, 3])
async def test_every_turn_may_call_tools(turns, runner_of):
    model = ScriptedModel([call("t", {"n": n}) for n in range(turns)] + [answer("done")])
    state = await runner_of(model, {"t": lambda n: "ok"}).run("go")
    assert state.spent.turns == turns + 1
    assert state.spent.tool_calls == turns
