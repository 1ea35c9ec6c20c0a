"""A run from start to end: what is journaled, what the model reads, what is told to observers."""

from typing import get_args

import anyio
import pytest

from agent_core import events as ev
from agent_core.drive import _PERFORMED
from agent_core.effects import Effect
from agent_core.errors import (
    ContextTooLongError,
    IllegalEventError,
    JournalConflictError,
    ModelRefusedError,
    ModelUnavailableError,
    RunNotFoundError,
)
from agent_core.limits import Limits
from agent_core.messages import user
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, ScriptedModel, ScriptedTools, answer, call
from agent_core.transitions import replay


def types(journal, run_id):
    return [ev.event_type(stored.event) for stored in journal.runs[run_id]]


ONE_TOOL = [
    "run.started",
    "context.hydrated",
    "tools.called",
    "tool.returned",
    "results.accepted",
    "model.answered",
    "answer.accepted",
    "outcome.stored",
]


def test_there_is_a_way_to_perform_every_effect():
    assert set(_PERFORMED) == set(get_args(Effect))


class Watcher:
    """Keeps what it is told."""

    def __init__(self):
        self.stored = []
        self.states = []
        self.deltas = []

    def on_event(self, stored, state):
        self.stored.append(stored)
        self.states.append(state)

    def on_delta(self, run_id, delta):
        self.deltas.append((run_id, delta.text))


async def test_a_run_with_one_tool(runner_of):
    tools = ScriptedTools({"add": lambda a, b: str(a + b)})
    model = ScriptedModel([call("add", {"a": 19, "b": 23}), answer("It is 42.")])
    runner = runner_of(model, tools)
    state = await runner.run("What is 19 + 23?", instructions="Be brief.")
    assert state.phase is Phase.DONE
    assert state.answer == "It is 42."
    assert types(runner.adapters.journal, state.run_id) == ONE_TOOL
    assert [one.spec.name for one in await tools.specs("")] == [spec.name for spec in model.requests[0].tools]
    assert [message.role for message in model.requests[1].messages] == ["system", "user", "assistant", "tool"]
    assert model.requests[1].messages[-1].tool_results[0].content == "42"
    assert {request.context.session_id for request in model.requests} == {state.session_id}
    assert [outcome.answer for outcome in runner.adapters.memory.remembered] == ["It is 42."]


async def test_the_state_is_the_fold_of_the_journal(runner_of):
    runner = runner_of([call("t"), answer("done")], {"t": lambda: "ok"})
    state = await runner.run("go")
    stored = runner.adapters.journal.runs[state.run_id]
    assert replay(state.run_id, [one.event for one in stored]) == state
    assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
    assert await runner.load(state.run_id) == state


async def test_observers_are_told_each_event_with_its_state_and_each_delta(runner_of):
    watcher = Watcher()
    runner = runner_of([call("t"), answer("well done indeed")], {"t": lambda: "ok"}, observers=[watcher])
    state = await runner.run("go")
    assert watcher.stored == runner.adapters.journal.runs[state.run_id]
    assert [one.seq for one in watcher.states] == [one.seq for one in watcher.stored]
    assert watcher.states[-1] == state
    assert watcher.deltas == [(state.run_id, text) for text in ("well", " done", " indeed")]


async def test_an_observer_of_one_drive_is_told_of_that_drive_alone(runner_of):
    runner = runner_of([answer("hi")])
    watcher = Watcher()
    run_id = await runner.start("go")
    await runner.drive(run_id, observers=[watcher])
    await runner.run("again")
    assert {stored.run_id for stored in watcher.stored} == {run_id}


async def test_an_observer_that_raises_ends_the_drive_and_the_run_can_be_driven_again(runner_of):
    class Broken(Watcher):
        def on_event(self, stored, state):
            raise ZeroDivisionError

    runner = runner_of([answer("hi")])
    run_id = await runner.start("go")
    with pytest.raises(ZeroDivisionError):
        await runner.drive(run_id, observers=[Broken()])
    assert (await runner.drive(run_id)).answer == "hi"


async def test_a_message_can_be_the_prompt_and_the_session_can_be_named(runner_of):
    runner = runner_of([answer("hi")])
    state = await runner.run(user("hello"), session_id="mine")
    assert state.session_id == "mine"
    assert state.input == user("hello")


async def test_a_run_that_is_over_is_left_alone(runner_of):
    runner = runner_of([answer("hi")])
    state = await runner.run("go")
    assert await runner.drive(state.run_id) == state
    assert len(runner.adapters.model.requests) == 1
    with pytest.raises(IllegalEventError):
        await runner.cancel(state.run_id, by="ann")


async def test_an_unknown_run_is_not_found(runner_of):
    runner = runner_of([answer("hi")])
    for attempt in (runner.load, runner.drive, lambda run_id: runner.cancel(run_id, by="ann")):
        with pytest.raises(RunNotFoundError):
            await attempt("run_x")


async def test_many_runs_at_once_do_not_disturb_each_other(runner_of):
    async def echo(text):
        await anyio.lowlevel.checkpoint()
        return text

    def reply(request):
        last = request.messages[-1]
        if last.role == "tool":
            return answer(last.tool_results[0].content)
        return call("echo", {"text": last.text})

    runner = runner_of([reply], {"echo": echo})
    answers = {}

    async def run(number):
        answers[number] = (await runner.run(f"number {number}")).answer

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(run, number)
    assert answers == {number: f"number {number}" for number in range(100)}
    assert len(runner.adapters.journal.runs) == 100
    assert all(types(runner.adapters.journal, run_id) == ONE_TOOL for run_id in runner.adapters.journal.runs)


# ── limits and the model ─────────────────────────────────────────────────────────────────────────────────────────


async def test_at_a_limit_the_model_gets_one_last_turn_without_tools(runner_of):
    model = ScriptedModel([call("t"), call("t"), answer("what I have")])
    runner = runner_of(model, {"t": lambda: "ok"})
    state = await runner.run("go", limits=Limits(turns=2))
    assert state.phase is Phase.DONE
    assert state.limit_reached == "turns"
    assert state.answer == "what I have"
    assert [bool(request.tools) for request in model.requests] == [True, True, False]
    assert types(runner.adapters.journal, state.run_id).count("limit.reached") == 1


async def test_a_model_that_calls_a_tool_in_its_last_turn_ends_all_the_same(runner_of):
    runner = runner_of([call("t")], {"t": lambda: "ok"})
    state = await runner.run("go", limits=Limits(tool_calls=1))
    assert state.phase is Phase.DONE
    assert state.answer == ""
    assert state.messages[-1].tool_calls == ()
    assert len(runner.adapters.tools.ran) == 1


async def test_time_is_a_limit_too(runner_of):
    runner = runner_of(
        [call("wait"), answer("late")], {"wait": lambda: str(runner.adapters.clock.advance(61))}
    )
    state = await runner.run("go", limits=Limits(wall_time_s=60))
    assert (state.limit_reached, state.answer) == ("wall_time_s", "late")


async def test_an_unavailable_model_leaves_the_run_to_be_resumed(runner_of):
    model = ScriptedModel([call("t"), ModelUnavailableError("overloaded"), answer("here now")])
    runner = runner_of(model, {"t": lambda: "ok"})
    run_id = await runner.start("go")
    with pytest.raises(ModelUnavailableError, match="overloaded"):
        await runner.drive(run_id)
    assert (await runner.load(run_id)).phase is Phase.REASONING
    assert (await runner.drive(run_id)).answer == "here now"
    assert len(runner.adapters.tools.ran) == 1


async def test_a_model_that_stops_in_the_middle_leaves_the_run_to_be_resumed(runner_of):
    class CutOff(ScriptedModel):
        async def stream(self, request):
            async for item in super().stream(request):
                if len(self.requests) > 1 or not hasattr(item, "message"):
                    yield item

    runner = runner_of(CutOff([answer("half an answer")]))
    run_id = await runner.start("go")
    with pytest.raises(ModelUnavailableError, match="without completing"):
        await runner.drive(run_id)
    assert (await runner.drive(run_id)).answer == "half an answer"


async def test_a_request_that_is_refused_fails_the_run(runner_of):
    state = await runner_of([ModelRefusedError("no such model")]).run("go")
    assert state.phase is Phase.FAILED
    assert state.error == "refused: no such model"


async def test_a_context_that_is_too_long_is_raised_to_the_caller(runner_of):
    runner = runner_of([ContextTooLongError("test:m", 9_000, 8_000)])
    with pytest.raises(ContextTooLongError, match="9,000"):
        await runner.run("go")


async def test_an_empty_answer_is_asked_for_again_once(runner_of):
    runner = runner_of([answer(""), answer("there")])
    state = await runner.run("go")
    assert state.answer == "there"
    assert "Your answer was empty" in runner.adapters.model.requests[1].messages[-1].text
    runner = runner_of([answer("")])
    state = await runner.run("go")
    assert (state.phase, state.answer, len(runner.adapters.model.requests)) == (Phase.DONE, "", 2)


async def test_a_stream_of_the_model_is_read_to_its_end(runner_of):
    closed = []

    class Closing(ScriptedModel):
        async def stream(self, request):
            try:
                async for item in super().stream(request):
                    yield item
            finally:
                closed.append(True)

    runner = runner_of(Closing([answer("hi")]))
    watched = []
    run_id = await runner.start("go")

    class Sees(Watcher):
        def on_event(self, stored, state):
            watched.append((ev.event_type(stored.event), bool(closed)))

    await runner.drive(run_id, observers=[Sees()])
    assert ("model.answered", True) in watched


# ── one writer ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_runner_on_the_same_run_is_told_of_the_conflict(runner_of):
    first = runner_of([answer("from the first")])
    run_id = await first.start("go")

    def taken(request):
        # while the second runner waits for its model, the first drives the run to its end
        events = [
            ev.ModelAnswered(at=1.0, parts=answer("from the first").parts, model="m"),
            ev.AnswerAccepted(at=1.0),
        ]
        first.adapters.journal.runs[run_id].extend(
            type(first.adapters.journal.runs[run_id][0])(
                run_id=run_id, seq=3 + index, event=event, writer="first"
            )
            for index, event in enumerate(events)
        )
        return answer("from the second")

    second = runner_of([taken], journal=first.adapters.journal)
    with pytest.raises(JournalConflictError) as caught:
        await second.drive(run_id)
    assert caught.value.run_id == run_id
    assert (await first.drive(run_id)).answer == "from the first"


async def test_a_second_runner_is_told_even_while_tools_run_in_parallel(runner_of):
    async def slow():
        await anyio.lowlevel.checkpoint()
        return "ok"

    replies = [call("slow"), answer("hi")]
    first = runner_of([_two_calls(), *replies[1:]], {"slow": slow})
    second = runner_of([_two_calls(), *replies[1:]], {"slow": slow}, journal=first.adapters.journal)
    run_id = await first.start("go")
    outcomes = []

    async def drive(runner):
        try:
            outcomes.append((await runner.drive(run_id)).answer)
        except JournalConflictError:
            outcomes.append("conflict")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive, first)
        tasks.start_soon(drive, second)
    assert "conflict" in outcomes
    state = await first.drive(run_id)
    assert state.answer == "hi"
    assert [one.seq for one in first.adapters.journal.runs[run_id]] == list(range(1, state.seq + 1))


def _two_calls():
    from agent_core.testing.models import calls
    from agent_core.tools import ToolCall

    return calls(
        ToolCall(tool_call_id="a", name="slow", arguments={}),
        ToolCall(tool_call_id="b", name="slow", arguments={}),
    )


async def test_a_run_whose_id_was_chosen_before_begins_once(runner_of):
    journal = InMemoryJournal()
    runner = runner_of([answer("yes")], {}, journal=journal)
    assert await runner.start("first", run_id="run_chosen") == "run_chosen"
    with pytest.raises(JournalConflictError):
        await runner.start("another", run_id="run_chosen")
    assert types(journal, "run_chosen") == ["run.started"]
    assert (await runner.drive("run_chosen")).input.text == "first"
