"""Approvals, denials and cancellation: what people do to a run while it goes on."""

import anyio
import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.errors import IllegalEventError, QuestionUnseenError, StaleCompletionError
from agent_core.policy import ALLOWED, Decision, Verdict
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, ScriptedModel, ScriptedTools, answer, call, tool
from agent_core.testing.models import calls
from agent_core.tools import ToolCall


def ask_for(*names):
    def policy(state, spec, call):
        if call.name in names:
            return Decision(verdict=Verdict.ASK, reason=f"{call.name} is risky")
        return ALLOWED

    return policy


def granted(key, **more):
    return ev.ApprovalGranted(at=1.0, tool_call_id=key, by="ann", **more)


def types(runner, run_id):
    return [ev.event_type(stored.event) for stored in runner.adapters.journal.runs[run_id]]


def only_call(state):
    (one,) = state.calls.values()
    return one


async def test_a_call_that_policy_asks_for_waits_for_a_person(runner_of):
    runner = runner_of([call("rm", {"path": "a"}), answer("gone")], {"rm": str}, policy=ask_for("rm"))
    state = await runner.run("go")
    assert state.phase is Phase.AWAITING
    assert only_call(state).question == "rm is risky"
    assert runner.adapters.tools.ran == []
    assert (await runner.drive(state.run_id)) == state


async def test_a_person_allows_the_call_with_other_arguments(runner_of):
    tools = ScriptedTools({"rm": lambda path: f"removed {path}"})
    runner = runner_of([call("rm", {"path": "/"}), answer("gone")], tools, policy=ask_for("rm"))
    state = await runner.run("go")
    key = only_call(state).call.tool_call_id
    state = await runner.send(state.run_id, granted(key, arguments={"path": "/tmp/x"}))
    assert state.phase is Phase.DISPATCHING
    state = await runner.drive(state.run_id)
    assert state.answer == "gone"
    assert [one.arguments for one, _ in tools.ran] == [{"path": "/tmp/x"}]
    assert runner.adapters.model.requests[1].messages[-1].tool_results[0].content == "removed /tmp/x"


async def test_a_person_denies_the_call_and_the_model_reads_why(runner_of):
    runner = runner_of([call("rm"), answer("as you wish")], {"rm": str}, policy=ask_for("rm"))
    state = await runner.run("go")
    denied = ev.ApprovalDenied(at=1.0, tool_call_id=only_call(state).call.tool_call_id, by="ann", reason="no")
    await runner.send(state.run_id, denied)
    state = await runner.drive(state.run_id)
    assert state.answer == "as you wish"
    assert runner.adapters.model.requests[1].messages[-1].tool_results[0].error == "denied"
    assert runner.adapters.tools.ran == []


async def test_an_approval_holds_for_the_question_that_was_seen_and_for_no_later_one_of_the_same_id(
    runner_of,
):
    script = [call("rm", {"path": path}, tool_call_id="call_0") for path in ("a", "b")] + [answer("gone")]
    tools = ScriptedTools({"rm": lambda path: f"removed {path}"})
    runner = runner_of(script, tools, policy=ask_for("rm"))
    first = await runner.run("go")
    await runner.send(first.run_id, granted("call_0"))
    second = await runner.drive(first.run_id)
    assert second.phase is Phase.AWAITING
    for seen in (None, first.seq):
        with pytest.raises(QuestionUnseenError, match=f"asked by event {second.seq}, behind what was seen"):
            await runner.send(first.run_id, granted("call_0"), seen=seen)
    assert [one.arguments for one, _ in tools.ran] == [{"path": "a"}]
    await runner.send(first.run_id, granted("call_0"), seen=second.seq)
    assert (await runner.drive(first.run_id)).answer == "gone"
    assert [one.arguments for one, _ in tools.ran] == [{"path": "a"}, {"path": "b"}]


async def test_a_question_that_was_seen_may_be_answered_after_others_beside_it(runner_of):
    script = [
        calls(
            ToolCall(tool_call_id="a", name="rm", arguments={"path": "a"}),
            ToolCall(tool_call_id="b", name="rm", arguments={"path": "b"}),
        ),
        answer("gone"),
    ]
    runner = runner_of(script, {"rm": lambda path: path}, policy=ask_for("rm"))
    state = await runner.run("go")
    for key in state.calls:
        await runner.send(state.run_id, granted(key), seen=state.seq)
    assert (await runner.drive(state.run_id)).answer == "gone"


async def test_policy_denies_a_call_without_asking_anybody(runner_of):
    def policy(state, spec, call):
        return Decision(verdict=Verdict.DENY, reason="never")

    runner = runner_of([call("rm"), answer("all right")], {"rm": str}, policy=policy)
    state = await runner.run("go")
    assert state.phase is Phase.DONE
    result = runner.adapters.model.requests[1].messages[-1].tool_results[0]
    assert (result.error, result.content) == ("denied", "Policy denied this call: never")


async def test_a_command_that_the_run_does_not_wait_for_is_refused(runner_of):
    runner = runner_of([call("rm"), answer("gone")], {"rm": str}, policy=ask_for("rm"))
    state = await runner.run("go")
    with pytest.raises(StaleCompletionError):
        await runner.send(state.run_id, granted("another"))
    await runner.cancel(state.run_id, by="ann")
    with pytest.raises(IllegalEventError):
        await runner.send(state.run_id, granted(only_call(state).call.tool_call_id))


async def test_an_approval_may_come_while_other_tools_still_run(runner_of):
    asked, may_end = anyio.Event(), anyio.Event()

    async def slow():
        await may_end.wait()
        return "slow"

    class Watcher:
        def on_event(self, stored, state):
            seen.append(stored.event)
            if isinstance(stored.event, ev.ApprovalRequested):
                asked.set()

        def on_delta(self, run_id, delta):
            pass

    seen = []
    two = calls(
        ToolCall(tool_call_id="a", name="rm", arguments={}),
        ToolCall(tool_call_id="b", name="slow", arguments={}),
    )
    runner = runner_of(
        [two, answer("both")],
        {"rm": lambda: "removed", "slow": slow},
        policy=ask_for("rm"),
        observers=[Watcher()],
    )
    run_id = await runner.start("go")
    states = []

    async def drive():
        states.append(await runner.drive(run_id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive)
        await asked.wait()
        await runner.send(run_id, granted("a"))
        may_end.set()
    assert states[0].answer == "both"
    stored = [one.event for one in runner.adapters.journal.runs[run_id]]
    assert seen == stored
    assert types(runner, run_id)[3:7] == [
        "approval.requested",
        "approval.granted",
        "tool.returned",
        "tool.returned",
    ]


async def test_an_approval_in_the_moment_in_which_the_run_comes_to_rest_is_not_missed(runner_of):
    class Quick(InMemoryJournal):
        """As soon as a question is in the journal, and before its writer knows, a person answers."""

        async def append(self, run_id, expected_seq, events, *, writer):
            seq = await super().append(run_id, expected_seq, events, writer=writer)
            if isinstance(events[-1], ev.ApprovalRequested):
                await runner.send(run_id, granted(events[-1].tool_call_id))
            return seq

    class Watcher:
        def on_event(self, stored, state):
            seen.append(stored.event)

        def on_delta(self, run_id, delta):
            pass

    seen = []
    runner = runner_of(
        [call("rm"), answer("gone")],
        {"rm": lambda: "removed"},
        policy=ask_for("rm"),
        journal=Quick(),
        observers=[Watcher()],
    )
    state = await runner.run("go")
    assert state.answer == "gone"
    assert seen == [stored.event for stored in runner.adapters.journal.runs[state.run_id]]


# ── cancellation ─────────────────────────────────────────────────────────────────────────────────────────────────


class Hanging(ScriptedModel):
    """Says one word, then nothing for ever."""

    def __init__(self):
        super().__init__([answer("one two")])
        self.hangs = anyio.Event()
        self.stopped = False

    async def stream(self, request):
        async for item in super().stream(request):
            yield item
            break
        try:
            self.hangs.set()
            await anyio.sleep_forever()
        finally:
            self.stopped = True


class Events:
    def __init__(self):
        self.types = []

    def on_event(self, stored, state):
        self.types.append(ev.event_type(stored.event))

    def on_delta(self, run_id, delta):
        pass


async def cancelled_while(runner, run_id, ready):
    """Drive a run, cancel it once `ready` is set, and return the state that the drive ended with."""
    states = []

    async def drive():
        states.append(await runner.drive(run_id))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            await ready.wait()
            await runner.cancel(run_id, by="ann", reason="enough")
    return states[0]


async def test_a_run_is_cancelled_while_the_model_speaks(runner_of):
    model, events = Hanging(), Events()
    runner = runner_of(model, observers=[events])
    run_id = await runner.start("go")
    state = await cancelled_while(runner, run_id, model.hangs)
    assert state.phase is Phase.CANCELLED
    assert state.error == "cancelled by ann: enough"
    assert model.stopped
    assert events.types == types(runner, run_id)
    assert events.types[-1] == "run.cancelled"


async def test_a_run_is_cancelled_while_tools_hang_and_nothing_is_left_running(runner_of):
    hangs, running = anyio.Event(), []

    async def hang(name):
        running.append(name)
        try:
            if len(running) == 2:
                hangs.set()
            await anyio.sleep_forever()
        finally:
            running.remove(name)

    two = calls(
        ToolCall(tool_call_id="a", name="hang", arguments={"name": "a"}),
        ToolCall(tool_call_id="b", name="hang", arguments={"name": "b"}),
    )
    events = Events()
    runner = runner_of([two], {"hang": hang}, observers=[events])
    run_id = await runner.start("go")
    state = await cancelled_while(runner, run_id, hangs)
    assert state.phase is Phase.CANCELLED
    assert running == []
    assert events.types == types(runner, run_id)
    assert events.types[-1] == "run.cancelled"
    assert (await runner.drive(run_id)).phase is Phase.CANCELLED


async def test_a_run_that_rests_is_cancelled_and_its_observers_are_told(runner_of):
    events = Events()
    runner = runner_of([call("rm")], {"rm": str}, policy=ask_for("rm"), observers=[events])
    state = await runner.run("go")
    state = await runner.cancel(state.run_id, by="ann")
    assert state.phase is Phase.CANCELLED
    assert events.types == types(runner, state.run_id)


async def test_a_cancellation_by_another_process_ends_the_drive_at_its_next_event(runner_of):
    started, may_end = anyio.Event(), anyio.Event()

    async def slow():
        started.set()
        await may_end.wait()
        return "late"

    runner = runner_of([call("slow"), answer("never")], {"slow": slow})
    other = runner_of([answer("")], journal=runner.adapters.journal)
    run_id = await runner.start("go")
    states = []

    async def drive():
        states.append(await runner.drive(run_id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive)
        await started.wait()
        await other.cancel(run_id, by="ann")
        may_end.set()
    assert states[0].phase is Phase.CANCELLED
    assert types(runner, run_id)[-1] == "run.cancelled"


async def test_no_tool_is_run_for_a_run_that_was_cancelled_before_the_intent(runner_of):
    cancelled = []

    def policy(state, spec, call):
        # decided by hand, in the moment before the intent is journaled: another process cancels
        stored = runner.adapters.journal.runs[state.run_id]
        event = ev.RunCancelled(at=1.0, by="ann")
        stored.append(type(stored[0])(run_id=state.run_id, seq=len(stored) + 1, event=event, writer="other"))
        cancelled.append(True)
        return ALLOWED

    tools = ScriptedTools({"send": lambda: "sent"}, specs=[tool("send", idempotent=False)])
    runner = runner_of([call("send"), answer("never")], tools, policy=policy)
    state = await runner.run("go")
    assert cancelled
    assert state.phase is Phase.CANCELLED
    assert tools.ran == []


async def test_a_cancellation_while_an_event_is_being_written_keeps_that_event(runner_of):
    """The event is in the journal, its writer does not know it yet, and is stopped."""
    written = anyio.Event()

    class Slow(InMemoryJournal):
        async def append(self, run_id, expected_seq, events, *, writer):
            seq = await super().append(run_id, expected_seq, events, writer=writer)
            if isinstance(events[0], ev.ContextHydrated):
                written.set()
                await anyio.sleep(0.05)
            return seq

    events = Events()
    runner = runner_of([answer("never")], journal=Slow(), observers=[events])
    run_id = await runner.start("go")
    state = await cancelled_while(runner, run_id, written)
    assert state.phase is Phase.CANCELLED
    assert types(runner, run_id) == ["run.started", "context.hydrated", "run.cancelled"]
    assert events.types == types(runner, run_id)


async def test_leaving_a_drive_leaves_the_run_to_be_driven_again(runner_of):
    model = Hanging()
    runner = runner_of(model)
    run_id = await runner.start("go")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.drive, run_id)
        await model.hangs.wait()
        tasks.cancel_scope.cancel()
    assert model.stopped
    runner.adapters = replace(runner.adapters, model=ScriptedModel([answer("done")]))
    assert (await runner.drive(run_id)).answer == "done"


async def test_a_drive_that_another_one_has_replaced_can_still_be_cancelled(runner_of):
    model = Hanging()
    runner = runner_of(model)
    run_id = await runner.start("go")

    async def short():
        with anyio.move_on_after(0.01):
            await runner.drive(run_id)

    states = []

    async def drive():
        states.append(await runner.drive(run_id))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            await model.hangs.wait()
            await short()
            await runner.cancel(run_id, by="ann")
    assert states[0].phase is Phase.CANCELLED
