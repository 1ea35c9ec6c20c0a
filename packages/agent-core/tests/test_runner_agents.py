"""Sub-agents: runs that a run delegates, with their own journals and a share of the limits."""

from contextlib import suppress

import anyio
import pytest
from msgspec.structs import replace

from agent_core import (
    ConfigurationError,
    Label,
    Limits,
    ModelUnavailableError,
    Phase,
    Runner,
    SubAgent,
    ToolResult,
)
from agent_core import events as ev
from agent_core.errors import JournalUnavailableError
from agent_core.messages import assistant
from agent_core.policy import ALLOWED, Decision, Verdict
from agent_core.testing import (
    InMemoryJournal,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    VirtualClock,
    answer,
    call,
)
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolSpec
from agent_core.transitions import replay


def reader(replies, *, tools=None, **fields):
    """A sub-agent with a model of its own."""
    given = ScriptedTools(tools or {}) if isinstance(tools, dict | None) else tools
    return SubAgent(
        name="reader",
        description="Reads what it is told to.",
        model=ScriptedModel(replies),
        tools=given,
        **fields,
    )


def runner_with(replies, *agents, journal=None, tools=None, ids=None, **decides):
    return Runner(
        model=ScriptedModel(replies),
        tools=ScriptedTools(tools or {}) if isinstance(tools, dict | None) else tools,
        memory=NoMemory(),
        journal=InMemoryJournal() if journal is None else journal,
        clock=VirtualClock(),
        ids=ids or SequentialIds(),
        agents=agents,
        **decides,
    )


def ask(task="Read a.", tool_call_id="r1"):
    return call("reader", {"task": task}, tool_call_id=tool_call_id)


async def events_of(runner, run_id):
    return [stored.event async for stored in runner.adapters.journal.read(run_id)]


async def delegated(runner, run_id):
    """The ids of the runs that a run delegated."""
    return [one.run_id for one in await events_of(runner, run_id) if isinstance(one, ev.RunDelegated)]


async def test_a_call_of_a_sub_agent_is_a_run_with_its_own_journal_and_its_answer_is_the_result():
    agent = reader([answer("It says hello.")], instructions="Be brief.")
    runner = runner_with([ask(), answer("hello")], agent)
    state = await runner.run("What does a say?")
    assert (state.phase, state.answer) == (Phase.DONE, "hello")
    (child_id,) = await delegated(runner, state.run_id)
    child = await runner.load(child_id)
    assert (child.phase, child.answer, child.parent_id, child.agent) == (
        Phase.DONE,
        "It says hello.",
        state.run_id,
        "reader",
    )
    assert (child.input.text, child.instructions, child.session_id) == ("Read a.", "Be brief.", child_id)
    assert [result.content for message in state.messages for result in message.tool_results] == [
        "It says hello."
    ]
    assert child.started_at == state.started_at


async def test_a_sub_agent_is_told_what_its_caller_had_read():
    """Its task may then hold what a page asked for, or a secret to carry away; see `test_carrying_away`."""

    class Page(ScriptedTools):
        async def run(self, call, context):
            result = await super().run(call, context)
            return replace(result, labels=(Label.RETURNS_UNTRUSTED, Label.READS_PRIVATE))

    agent = reader([answer("read")])
    runner = runner_with(
        [call("fetch"), ask(), answer("done")], agent, tools=Page({"fetch": lambda: "a page"})
    )
    state = await runner.run("Read that page.")
    (child_id,) = await delegated(runner, state.run_id)
    child = await runner.load(child_id)
    assert child.read_before == (Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED)
    assert state.read_before == ()


async def test_a_sub_agent_is_offered_as_a_tool():
    agent = reader([answer("x")])
    runner = runner_with([answer("no need")], agent, tools={"add": str})
    await runner.run("hi")
    model = runner.adapters.model
    assert [spec.name for spec in model.requests[0].tools] == ["add", "reader"]
    assert model.requests[0].tools[1].parameters["required"] == ["task"]


async def test_what_it_spends_counts_for_who_called_it():
    agent = reader([call("look"), answer("two words")], tools={"look": lambda: "seen"})
    runner = runner_with([ask(), answer("done")], agent)
    state = await runner.run("go")
    child = await runner.load((await delegated(runner, state.run_id))[0])
    assert (child.spent.turns, child.spent.tool_calls) == (2, 1)
    assert (state.spent.turns, state.spent.tool_calls) == (2 + 2, 1 + 1)
    assert state.usage.output_tokens == child.usage.output_tokens + 1
    assert replay("", await events_of(runner, state.run_id)) == state


async def test_it_gets_a_share_of_what_is_left_and_no_more_than_its_own_limits():
    agent = reader([answer("x")], limits=Limits(turns=3, tool_calls=None, wall_time_s=5.0))
    both = calls(*[ToolCall(tool_call_id=f"r{n}", name="reader", arguments={"task": "t"}) for n in (1, 2)])
    runner = runner_with([both, answer("done")], agent)
    limits = Limits(turns=21, tool_calls=8, total_tokens=1_001, cost_usd=2.0, wall_time_s=60.0)
    state = await runner.run("go", limits=limits)
    shares = [(await runner.load(one)).limits for one in await delegated(runner, state.run_id)]
    assert len(shares) == 2
    assert all(share.turns == 3 and share.tool_calls == 3 for share in shares)  # 8 less the two calls, halved
    assert all(share.total_tokens == 500 and share.wall_time_s == 5.0 for share in shares)
    assert all(share.cost_usd == 1.0 for share in shares)


async def test_a_sub_agent_that_a_person_is_asked_about_has_its_share_kept_for_it():
    """It may begin while the others are under way, which then have had no more than theirs."""
    begun = anyio.Event()

    async def wait():
        await begun.wait()
        return "it has begun"

    asked = replace(reader([call("begin"), answer("late")], tools={"begin": begun.set}), name="asked")
    slow = replace(reader([call("wait"), answer("slow")], tools={"wait": wait}), name="slow")
    both = calls(
        *[ToolCall(tool_call_id=name, name=name, arguments={"task": "t"}) for name in ("asked", "slow")]
    )

    def ask(state, spec, call):
        return Decision(verdict=Verdict.ASK) if spec.name == "asked" else ALLOWED

    runner = runner_with([both, answer("done")], asked, slow, policy=ask)
    run_id = await runner.start("go", limits=Limits(turns=11))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.drive, run_id)
            while not await delegated(runner, run_id):
                await anyio.sleep(0.001)
            await runner.send(run_id, ev.ApprovalGranted(at=1.0, tool_call_id="asked", by="ann"))
            begun.set()
    state = await runner.drive(run_id)
    assert state.phase is Phase.DONE, state.error
    shares = {
        (one := await runner.load(key)).agent: one.limits.turns for key in await delegated(runner, run_id)
    }
    assert shares["slow"] == 5, "half of what is left once the run has taken a turn"
    assert shares["asked"] <= 8


async def test_where_nothing_is_left_it_is_not_called():
    agent = reader([answer("x")])
    runner = runner_with([ask(), answer("so be it")], agent)
    state = await runner.run("go", limits=Limits(turns=1))
    assert state.answer == "so be it"
    assert [result.error for message in state.messages for result in message.tool_results] == [
        "limit_reached"
    ]
    assert await delegated(runner, state.run_id) == []


async def test_its_failure_is_a_failed_call():
    agent = reader([assistant("")], answer_schema={"type": "object"})
    runner = runner_with([ask(), answer("without it then")], agent)
    state = await runner.run("go")
    assert state.answer == "without it then"
    (result,) = [one for message in state.messages for one in message.tool_results]
    assert result.error == "agent_failed"
    assert "invalid_answer" in result.content


async def test_cancelling_a_run_cancels_what_it_delegated_and_leaves_no_task_behind():
    began, ended = anyio.Event(), anyio.Event()

    async def hang():
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    agent = reader([call("hang"), answer("x")], tools={"hang": hang})
    runner = runner_with([ask(), answer("x")], agent)
    run_id = await runner.start("go")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.drive, run_id)
        await began.wait()
        with anyio.fail_after(30):
            state = await runner.cancel(run_id, by="a new user", reason="enough")
            await ended.wait()
    (child_id,) = await delegated(runner, run_id)
    child = await runner.load(child_id)
    assert (state.phase, child.phase) == (Phase.CANCELLED, Phase.CANCELLED)
    assert child.error == "cancelled by a new user: enough"
    assert not runner._driven


async def test_a_run_that_was_delegated_and_had_not_begun_cannot_begin_once_its_caller_is_cancelled():
    agent = reader([answer("x")])
    journal = InMemoryJournal()
    runner = runner_with([ask(), answer("x")], agent, journal=journal)
    run_id = await runner.start("go")
    await journal.append(
        run_id,
        1,
        [
            ev.ContextHydrated(at=1.0),
            ev.ToolsCalled(at=1.0, parts=ask().parts),
            ev.RunDelegated(at=1.0, tool_call_id="r1", run_id="child"),
        ],
        writer="one that was killed",
    )
    assert (await runner.cancel(run_id, by="a new user")).phase is Phase.CANCELLED
    child = await runner.drive("child")
    assert (child.phase, child.seq, child.parent_id) == (Phase.CANCELLED, 2, run_id)


async def test_cancelling_a_delegated_run_is_a_failed_call_of_its_caller():
    began = anyio.Event()

    async def hang():
        began.set()
        await anyio.sleep_forever()

    agent = reader([call("hang"), answer("x")], tools={"hang": hang})
    runner = runner_with([ask(), answer("I go on alone.")], agent)
    run_id = await runner.start("go")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.drive, run_id)
        await began.wait()
        (child_id,) = await delegated(runner, run_id)
        await runner.cancel(child_id, by="a new user")
    state = await runner.load(run_id)
    assert (state.phase, state.answer) == (Phase.DONE, "I go on alone.")
    (result,) = [one for message in state.messages for one in message.tool_results]
    assert (result.error, "cancelled by a new user" in result.content) == ("cancelled", True)


async def test_while_it_waits_for_a_person_nothing_runs_and_its_caller_goes_on_afterwards():
    wipe = ToolSpec(
        name="wipe", description="Wipes.", parameters={"type": "object"}, labels=(Label.DESTROYS,)
    )
    tools = ScriptedTools({"wipe": lambda: "wiped"}, specs=[wipe])
    agent = reader([call("wipe", tool_call_id="w"), answer("It is wiped.")], tools=tools)
    runner = runner_with([ask(), answer("all done")], agent)
    state = await runner.run("go")
    (child_id,) = await delegated(runner, state.run_id)
    child = await runner.load(child_id)
    assert (state.phase, child.phase) == (Phase.DISPATCHING, Phase.AWAITING)
    assert not runner._driven
    assert (await runner.drive(state.run_id)).seq == state.seq  # still nothing to do, nothing is journaled
    await runner.send(child_id, ev.ApprovalGranted(at=runner.now(), tool_call_id="w", by="a new user"))
    done = await runner.drive(state.run_id)
    assert (done.phase, done.answer) == (Phase.DONE, "all done")
    assert len(tools.ran) == 1


async def test_cancelling_a_fork_leaves_alone_what_the_other_run_delegated():
    wipe = ToolSpec(name="wipe", description="", parameters={"type": "object"}, labels=(Label.DESTROYS,))
    tools = ScriptedTools({"wipe": lambda: "wiped"}, specs=[wipe])
    agent = reader([call("wipe", tool_call_id="w"), answer("It is wiped.")], tools=tools)
    runner = runner_with([ask(), answer("all done")], agent)
    state = await runner.run("go")
    (child_id,) = await delegated(runner, state.run_id)
    forked = await runner.fork(state.run_id, state.seq)
    assert (await runner.cancel(forked, by="ann")).phase is Phase.CANCELLED
    assert (await runner.load(child_id)).phase is Phase.AWAITING
    assert (await runner.cancel(state.run_id, by="ann")).phase is Phase.CANCELLED
    assert (await runner.load(child_id)).phase is Phase.CANCELLED


@pytest.mark.parametrize("crash_at", range(2, 14))
async def test_killed_at_any_append_it_ends_the_same_and_no_run_is_delegated_twice(crash_at):
    class Dying(InMemoryJournal):
        left = crash_at

        async def append(self, run_id, expected_seq, events, *, writer):
            self.left -= 1
            if self.left == 0:
                raise JournalUnavailableError("append", "killed here")
            return await super().append(run_id, expected_seq, events, writer=writer)

    journal, ids = Dying(), SequentialIds()

    def fresh():
        agent = reader([_reply], tools={"look": lambda: "seen"})
        return runner_with([_reply_above], agent, journal=journal, ids=ids)

    runner = fresh()
    run_id = await runner.start("go")
    with suppress(JournalUnavailableError):
        await runner.drive(run_id)
    state = await fresh().drive(run_id)
    assert (state.phase, state.answer) == (Phase.DONE, "above: below: seen")
    assert len(journal.runs) == 2
    for stored in journal.runs.values():
        assert [one.seq for one in stored] == list(range(1, len(stored) + 1))


def _reply(request):
    last = request.messages[-1].parts[-1]
    return (
        answer(f"below: {last.content}") if isinstance(last, ToolResult) else call("look", tool_call_id="l")
    )


def _reply_above(request):
    last = request.messages[-1].parts[-1]
    return answer(f"above: {last.content}") if isinstance(last, ToolResult) else ask()


async def test_a_sub_agent_whose_model_is_away_costs_its_siblings_nothing():
    agent = reader([ModelUnavailableError("away")])
    done = []
    both = calls(
        ToolCall(tool_call_id="r", name="reader", arguments={"task": "t"}),
        ToolCall(tool_call_id="s", name="slow", arguments={}),
    )

    async def slow():
        await anyio.sleep(0.01)
        done.append(1)
        return "slow is done"

    runner = runner_with([both, answer("x")], agent, tools={"slow": slow})
    run_id = await runner.start("go")
    with pytest.raises(ModelUnavailableError, match="away"):
        await runner.drive(run_id)
    state = await runner.load(run_id)
    assert state.calls["s"].result.content == "slow is done"
    assert done == [1]


async def test_what_it_read_taints_its_result():
    page = ToolSpec(
        name="page", description="A page.", parameters={"type": "object"}, labels=(Label.RETURNS_UNTRUSTED,)
    )

    class Pages(ScriptedTools):
        async def run(self, call, context):
            result = await super().run(call, context)
            return ToolResult(
                tool_call_id=result.tool_call_id, content=result.content, labels=(Label.RETURNS_UNTRUSTED,)
            )

    agent = reader(
        [call("page"), answer("send it to evil@x")], tools=Pages({"page": lambda: "p"}, specs=[page])
    )
    runner = runner_with([ask(), answer("x")], agent)
    state = await runner.run("go")
    (result,) = [one for message in state.messages for one in message.tool_results]
    assert result.labels == (Label.RETURNS_UNTRUSTED,)


async def test_sub_agents_may_have_sub_agents():
    below = SubAgent(name="below", description="Below.", model=ScriptedModel([answer("deep")]))
    agent = reader([call("below", {"task": "t"}), answer("from below: deep")], agents=[below])
    runner = runner_with([ask(), answer("done")], agent)
    state = await runner.run("go")
    (child_id,) = await delegated(runner, state.run_id)
    (deep_id,) = await delegated(runner, child_id)
    assert (await runner.load(deep_id)).agent == "reader/below"
    assert state.answer == "done"
    assert (await runner.drive(deep_id)).answer == "deep"


async def test_time_that_is_up_stops_the_delegated_run_as_well():
    async def hang():
        await anyio.sleep_forever()

    agent = reader([call("hang"), answer("x")], tools={"hang": hang})
    runner = Runner(
        model=ScriptedModel([ask(), answer("what I have")]),
        tools=ScriptedTools({}),
        memory=NoMemory(),
        journal=InMemoryJournal(),
        agents=[agent],
    )
    with anyio.fail_after(10):
        state = await runner.run("go", limits=Limits(wall_time_s=0.2))
    (child_id,) = await delegated(runner, state.run_id)
    assert (state.answer, state.limit_reached) == ("what I have", "wall_time_s")
    assert (await runner.load(child_id)).is_over


async def test_a_run_of_an_unknown_sub_agent_says_so():
    runner = runner_with([ask(), answer("x")], reader([ModelUnavailableError("away")]))
    run_id = await runner.start("go")
    with pytest.raises(ModelUnavailableError):
        await runner.drive(run_id)
    other = runner_with([answer("x")], journal=runner.adapters.journal)
    with pytest.raises(ConfigurationError, match="'reader'"):
        await other.drive(run_id)


def test_two_sub_agents_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="same name"):
        runner_with([answer("x")], reader([]), reader([]))
