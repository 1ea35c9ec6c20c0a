"""What a runner promises when something goes wrong, each in virtual time and whoever goes first: twenty orders of events."""

import asyncio

import anyio
import pytest

from agent_core import Finding, Judgement, Limits, Phase, Reflexion, Runner, SubAgent
from agent_core import events as ev
from agent_core.errors import JournalConflictError, JournalUnavailableError
from agent_core.testing import (
    InMemoryJournal,
    LoopClock,
    NoMemory,
    ScriptedCritic,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    answer,
    call,
    tool,
    virtual_time,
)
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolSpec

SEEDS = 20


def whoever_goes_first(main):
    for seed in range(SEEDS):
        anyio.run(main, backend_options=virtual_time(seed))


def runner_of(replies, bodies, *, specs=(), journal=None, **decides):
    return Runner(
        model=ScriptedModel(replies),
        tools=ScriptedTools(bodies, specs=specs),
        memory=NoMemory(),
        journal=journal or InMemoryJournal(),
        clock=LoopClock(),
        ids=SequentialIds(),
        **decides,
    )


def together(*names):
    return calls(*(ToolCall(tool_call_id=name, name=name, arguments={}) for name in names))


def results_of(state):
    return {
        one.tool_call_id: (one.content, one.error)
        for message in state.messages
        for one in message.tool_results
    }


async def quick():
    await anyio.sleep(1)
    return "done"


async def breaks():
    await anyio.sleep(0.5)
    raise LookupError("broken")


def hasty(name, timeout_s=2.0):
    return ToolSpec(
        name=name, description=name, parameters={"type": "object"}, idempotent=True, timeout_s=timeout_s
    )


def test_one_failing_parallel_tool_never_discards_its_siblings_results():
    async def main():
        runner = runner_of(
            [together("a", "bad", "b"), answer("well")], {"a": quick, "bad": breaks, "b": quick}
        )
        state = await runner.run("go")
        assert results_of(state) == {"a": ("done", ""), "bad": ("broken", "failed"), "b": ("done", "")}

    whoever_goes_first(main)


@pytest.mark.parametrize("alone", [True, False])
def test_a_hung_tool_is_ended_by_its_deadline(alone):
    """Whether its runner cares for deadlines or not."""

    async def main():
        names = ("hung",) if alone else ("a", "hung")
        bodies = {"a": quick, "hung": anyio.sleep_forever}
        runner = runner_of(
            [together(*names), answer("well")], bodies, specs=[hasty("hung")], reflexion=Reflexion(attempts=1)
        )
        state = await runner.run("go")
        assert anyio.current_time() == 2.0
        assert state.phase is Phase.DONE
        assert results_of(state)["hung"][1] == "timeout"
        assert alone or results_of(state)["a"] == ("done", "")

    whoever_goes_first(main)


def test_cancel_leaves_no_task_behind():
    async def main():
        runner = runner_of(
            [together("x", "y", "z")],
            dict.fromkeys("xyz", anyio.sleep_forever),
            specs=[hasty(n, 99) for n in "xyz"],
        )
        run_id = await runner.start("go")
        before = asyncio.all_tasks()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.drive, run_id)
            await anyio.sleep(5)
            assert len(asyncio.all_tasks()) > len(before) + 1
            await runner.cancel(run_id, by="ann")
        assert anyio.current_time() == 5.0
        assert asyncio.all_tasks() == before
        assert (await runner.load(run_id)).phase is Phase.CANCELLED

    whoever_goes_first(main)


class SlowJournal(InMemoryJournal):
    """Takes three seconds for every result."""

    async def append(self, run_id, expected_seq, events, *, writer):
        if isinstance(events[0], ev.ToolReturned):
            await anyio.sleep(3)
        return await super().append(run_id, expected_seq, events, writer=writer)


@pytest.mark.parametrize("journal", [InMemoryJournal, SlowJournal])
def test_a_limit_reached_loses_no_work(journal):
    """A result that is back is kept, even if the time is up while it is being written."""

    async def main():
        bodies = {"a": quick, "b": quick, "hung": anyio.sleep_forever}
        specs = [tool("a", idempotent=False), hasty("hung", 99)]
        runner = runner_of(
            [together("a", "hung", "b"), answer("well")], bodies, specs=specs, journal=journal()
        )
        state = await runner.run("go", limits=Limits(wall_time_s=2))
        assert state.phase is Phase.DONE
        results = results_of(state)
        assert (results["a"], results["b"]) == (("done", ""), ("done", ""))
        assert results["hung"][1] == "limit_reached"

    whoever_goes_first(main)


class FullDisk(InMemoryJournal):
    """Takes three seconds to find out that there is no room for the first result."""

    is_full = True

    async def append(self, run_id, expected_seq, events, *, writer):
        if self.is_full and isinstance(events[0], ev.ToolReturned):
            await anyio.sleep(3)
            self.is_full = False
            raise JournalUnavailableError("memory", "no room")
        return await super().append(run_id, expected_seq, events, writer=writer)


@pytest.mark.parametrize("alone", [True, False])
def test_a_result_that_could_not_be_kept_as_the_time_ran_out_is_not_called_stopped(alone):
    """Who drives hears of it; nothing in the journal says that a call was stopped which did its work."""

    async def main():
        names = ("a",) if alone else ("a", "hung")
        bodies, specs = {"a": quick, "hung": anyio.sleep_forever}, [hasty("a"), hasty("hung", 99)]
        runner = runner_of([together(*names), answer("well")], bodies, specs=specs, journal=FullDisk())
        run_id = await runner.start("go", limits=Limits(wall_time_s=2))
        with pytest.raises(JournalUnavailableError, match="no room"):
            await runner.drive(run_id)
        state = await runner.load(run_id)
        assert (state.phase, [call.result for call in state.calls.values()]) == (
            Phase.DISPATCHING,
            [None] * len(names),
        )
        assert (await runner.drive(run_id)).answer == "well"

    whoever_goes_first(main)


def test_a_key_stays_the_same_while_a_delegated_run_comes_back():
    """What a sub-agent spent counts, and does not change how the turn's calls are named."""

    async def main():
        attempts = []

        async def flaky():
            attempts.append(anyio.current_time())
            await anyio.sleep(5)
            return "done"

        agent = SubAgent(
            name="helper", description="Helps.", model=ScriptedModel([call("look"), answer("helped")]),
            tools=ScriptedTools({"look": quick}),
        )  # fmt: skip
        runner = runner_of(
            [
                calls(
                    ToolCall(tool_call_id="flaky", name="flaky", arguments={}),
                    ToolCall(tool_call_id="helper", name="helper", arguments={"task": "help"}),
                ),
                answer("well"),
            ],
            {"flaky": flaky},
            specs=[hasty("flaky", 3.0)],
            agents=[agent],
        )
        state = await runner.run("go")
        keys = [
            context.idempotency_key for made, context in runner.adapters.tools.ran if made.name == "flaky"
        ]
        assert len(keys) == 2, "a deadline of an idempotent tool may pass"
        assert len(set(keys)) == 1
        assert state.spent.turns == 2 + 2
        assert state.turns == 2

    whoever_goes_first(main)


@pytest.mark.parametrize(("idempotent", "times"), [(True, 2), (False, 1)])
def test_a_critic_has_nothing_made_again_that_may_not_be(idempotent, times):
    async def main():
        critic = ScriptedCritic([Judgement(finding=Finding.RETRY, reason="Once more."), Judgement()])
        runner = runner_of(
            [call("send"), answer("well")],
            {"send": quick},
            specs=[tool("send", idempotent=idempotent)],
            critic=critic,
        )
        state = await runner.run("go")
        assert state.phase is Phase.DONE
        assert len(runner.adapters.tools.ran) == times

    whoever_goes_first(main)


def test_a_journal_that_is_behind_what_it_acknowledged_ends_the_drive():
    class Forgetful(InMemoryJournal):
        async def append(self, run_id, expected_seq, events, *, writer):
            seq = await super().append(run_id, expected_seq, events, writer=writer)
            self.runs[run_id] = self.runs[run_id][:2]
            return seq

    async def main():
        runner = runner_of([call("a"), answer("well")], {"a": quick}, journal=Forgetful())
        with pytest.raises(JournalConflictError):
            await runner.run("go")

    whoever_goes_first(main)
