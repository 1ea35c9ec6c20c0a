"""Runs of one session keep their order; runs of different sessions do not wait for each other."""

import anyio

from agent_core import events as ev
from agent_core.state import Phase
from agent_core.testing import NoMemory, ScriptedModel, ScriptedTools, answer, call
from agent_core.tools import Label, ToolSpec


class Slow(ScriptedModel):
    """Says when it is asked and waits to be let go."""

    def __init__(self):
        super().__init__([answer("ok")])
        self.asked = []
        self.let_go = anyio.Event()

    async def stream(self, request):
        self.asked.append(request.messages[-1].text)
        await self.let_go.wait()
        async for item in super().stream(request):
            yield item


async def test_runs_of_a_session_are_driven_in_the_order_in_which_they_came(runner_of):
    model = Slow()
    runner = runner_of(model)
    runs = [await runner.start(f"number {n}", session_id="s") for n in range(4)]
    states = {}

    async def drive(run_id):
        states[run_id] = await runner.drive(run_id)

    async with anyio.create_task_group() as tasks:
        for run_id in runs:
            tasks.start_soon(drive, run_id)
        await anyio.wait_all_tasks_blocked()
        assert model.asked == ["number 0"]
        model.let_go.set()
    assert model.asked == [f"number {n}" for n in range(4)]
    assert list(states) == runs
    assert all(state.phase is Phase.DONE for state in states.values())
    assert runner._sessions._waiting == {}, "nothing is kept of a session that nobody drives"


async def test_sessions_do_not_wait_for_each_other(runner_of):
    model = Slow()
    runner = runner_of(model)
    async with anyio.create_task_group() as tasks:
        for n in range(3):
            tasks.start_soon(runner.drive, await runner.start(f"number {n}", session_id=f"s{n}"))
        await anyio.wait_all_tasks_blocked()
        assert sorted(model.asked) == ["number 0", "number 1", "number 2"]
        model.let_go.set()


async def test_a_run_that_waits_for_a_person_holds_up_nobody(runner_of):
    wipe = ToolSpec(name="wipe", description="", parameters={}, labels=(Label.DESTROYS,))
    tools = ScriptedTools({"wipe": lambda: "wiped"}, specs=[wipe])
    runner = runner_of([call("wipe"), answer("second")], tools)
    first = await runner.run("wipe it", session_id="s")
    assert first.phase is Phase.AWAITING
    assert (await runner.run("and now?", session_id="s")).answer == "second"


async def test_a_run_that_is_cancelled_while_it_queues_does_nothing(runner_of):
    model = Slow()
    runner = runner_of(model)
    first = await runner.start("first", session_id="s")
    second = await runner.start("second", session_id="s")
    ended = {}

    async def drive(run_id):
        ended[run_id] = await runner.drive(run_id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive, first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(drive, second)
        await anyio.wait_all_tasks_blocked()
        await runner.cancel(second, by="a person")
        await anyio.wait_all_tasks_blocked()
        assert ended[second].phase is Phase.CANCELLED
        model.let_go.set()
    assert model.asked == ["first"]
    assert ended[first].phase is Phase.DONE


async def test_a_run_that_was_driven_meanwhile_is_not_driven_again(runner_of):
    model = Slow()
    runner = runner_of(model)
    run_id = await runner.start("once", session_id="s")
    seen = []

    class Seeing:
        def on_event(self, stored, state):
            seen.append(ev.event_type(stored.event))

        def on_delta(self, run_id, delta):
            pass

    async def again():
        assert (await runner.drive(run_id, observers=[Seeing()])).answer == "ok"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.drive, run_id)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(again)
        await anyio.wait_all_tasks_blocked()
        model.let_go.set()
    assert model.asked == ["once"]
    assert seen[-1] == "outcome.stored", "who waited hears what happened"


class Asked(NoMemory):
    """Keeps what it is asked."""

    def __init__(self):
        super().__init__()
        self.requests = []

    async def hydrate(self, request):
        self.requests.append(request)
        return await super().hydrate(request)


async def test_memory_is_told_of_the_run_that_began_its_session(runner_of):
    asked = Asked()
    runner = runner_of([answer("ok")], memory=asked)
    first = await runner.run("one")
    await runner.run("two", session_id=first.session_id)
    await runner.run("three", session_id="named")
    again = await runner.run("four")
    assert [request.is_first for request in asked.requests] == [True, False, False, True]
    assert again.session_id != first.session_id


async def test_a_fork_of_the_first_run_is_not_the_first(runner_of):
    asked = Asked()
    runner = runner_of([answer("ok")], memory=asked)
    first = await runner.run("one")
    await runner.drive(await runner.fork(first.run_id, 1))
    assert [request.is_first for request in asked.requests] == [True, False]
