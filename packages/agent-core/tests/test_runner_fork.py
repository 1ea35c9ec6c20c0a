"""Time travel: any prefix of a run can be gone on from, with another model, prompt or result."""

import pytest

from agent_core import events as ev
from agent_core.divergence import diverge
from agent_core.errors import (
    ConfigurationError,
    IllegalEventError,
    JournalConflictError,
    RunNotFoundError,
    StaleCompletionError,
)
from agent_core.policy import Decision, Verdict
from agent_core.runner import Runner
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, answer, call
from agent_core.tools import ToolResult


@pytest.fixture
def journal():
    return InMemoryJournal()


@pytest.fixture
async def finished(runner_of, journal):
    runner = runner_of(
        [call("add", {"a": 1, "b": 2}), answer("three")], {"add": lambda a, b: str(a + b)}, journal=journal
    )
    state = await runner.run("1 + 2?")
    assert state.seq == 8
    return runner, state


def events_of(journal, run_id):
    return [stored.event for stored in journal.runs[run_id]]


async def test_a_fork_of_any_prefix_ends_with_the_same_answer(finished, journal):
    runner, state = finished
    before = events_of(journal, state.run_id)
    for at_seq in range(1, state.seq + 1):
        runner.adapters.model._replies = (
            [answer("three")] if at_seq > 2 else [call("add", {"a": 1, "b": 2}), answer("three")]
        )
        runner.adapters.model.requests.clear()
        forked = await runner.drive(await runner.fork(state.run_id, at_seq))
        assert (forked.phase, forked.answer) == (Phase.DONE, "three")
        assert forked.run_id != state.run_id
        assert [stored.seq for stored in journal.runs[forked.run_id]] == list(range(1, 9))
        difference = await runner.diverge(state.run_id, forked.run_id)
        assert (difference.common, difference.left, difference.right) == (8, (), ())
    assert events_of(journal, state.run_id) == before, "the original is left as it is"


async def test_another_model(finished, journal):
    runner, state = finished
    other = Runner(
        model=ScriptedModel([answer("drei")]), tools=runner.adapters.tools, memory=NoMemory(), journal=journal
    )
    forked = await other.drive(await other.fork(state.run_id, 5))
    assert forked.answer == "drei"
    difference = await other.diverge(state.run_id, forked.run_id)
    assert difference.common == 5
    assert [ev.event_type(one) for one in difference.left] == [
        "model.answered",
        "answer.accepted",
        "outcome.stored",
    ]


async def test_another_prompt(finished):
    runner, state = finished
    runner.adapters.model._replies = [answer("seven")]
    forked = await runner.drive(await runner.fork(state.run_id, 2, prompt="3 + 4?"))
    assert forked.input.text == "3 + 4?"
    assert forked.answer == "seven"
    assert (await runner.diverge(state.run_id, forked.run_id)).common == 0
    with pytest.raises(ConfigurationError, match="fork at event 1 or 2"):
        await runner.fork(state.run_id, 3, prompt="too late")


async def test_another_result(finished):
    runner, state = finished
    result = ToolResult(tool_call_id="call_1_0", content="30")
    runner.adapters.model._replies = [lambda request: answer(request.messages[-1].tool_results[0].content)]
    forked = await runner.fork(state.run_id, 3, then=[ev.tool_back(result, at=1.0)])
    assert (await runner.drive(forked)).answer == "30"
    assert len(runner.adapters.tools.ran) == 1, "the tool was not run again"


@pytest.mark.parametrize("at_seq", [0, -1, 9])
async def test_there_is_nothing_to_fork(finished, journal, at_seq):
    runner, state = finished
    with pytest.raises(RunNotFoundError):
        await runner.fork(state.run_id, at_seq)
    with pytest.raises(RunNotFoundError):
        await runner.diverge(state.run_id, "run_none")
    assert len(journal.runs) == 1


async def test_what_does_not_fit_is_refused_and_nothing_is_written(finished, journal):
    runner, state = finished
    with pytest.raises(IllegalEventError):
        await runner.fork(state.run_id, 2, then=[ev.OutcomeStored(at=1.0)])
    stale = ev.ToolReturned(at=1.0, tool_call_id="nobody", content="")
    with pytest.raises(StaleCompletionError):
        await runner.fork(state.run_id, 3, then=[stale])
    assert len(journal.runs) == 1


async def test_only_a_persons_commands_are_sent(finished):
    runner, state = finished
    with pytest.raises(IllegalEventError, match=r"outcome\.stored"):
        await runner.send(state.run_id, ev.OutcomeStored(at=1.0))


def test_journals_of_different_length():
    started = ev.RunStarted(at=1.0, run_id="a", session_id="s", input=answer("x"), model="m")
    again = ev.RunStarted(at=2.0, run_id="b", session_id="t", input=answer("x"), model="m")
    difference = diverge([started], [again, ev.ContextHydrated(at=3.0)])
    assert (difference.common, difference.left, len(difference.right)) == (1, (), 1)
    assert diverge([], []).common == 0


async def test_what_a_person_allowed_in_a_run_is_asked_about_again_in_its_fork(runner_of, journal):
    ran = []

    def ask(state, spec, call):
        return Decision(verdict=Verdict.ASK, reason="it destroys")

    script = [call("drop", {"table": "orders"}), answer("dropped")]
    tools = {"drop": lambda table: ran.append(table) or "gone"}
    runner = runner_of(script, tools, journal=journal, policy=ask)
    waiting = await runner.run("Drop it.")
    (asked,) = waiting.calls
    granted = ev.ApprovalGranted(at=1.0, tool_call_id=asked, by="ann")
    allowed = await runner.send(waiting.run_id, granted)
    await runner.drive(waiting.run_id)
    assert ran == ["orders"]
    forked = await runner.drive(await runner.fork(waiting.run_id, allowed.seq))
    assert (forked.phase, ran) == (Phase.AWAITING, ["orders"]), "it was allowed once, in the other run"
    await runner.send(forked.run_id, granted, seen=forked.seq)
    assert (await runner.drive(forked.run_id)).phase is Phase.DONE
    assert ran == ["orders", "orders"]


async def test_a_decision_that_is_given_to_the_fork_itself_holds(runner_of, journal):
    ran = []

    def ask(state, spec, call):
        return Decision(verdict=Verdict.ASK, reason="it destroys")

    tools = {"drop": lambda table: ran.append(table) or "gone"}
    script = [call("drop", {"table": "orders"}), answer("dropped")]
    runner = runner_of(script, tools, journal=journal, policy=ask)
    waiting = await runner.run("Drop it.")
    (asked,) = waiting.calls
    other = ev.ApprovalGranted(at=1.0, tool_call_id=asked, by="ann", arguments={"table": "drafts"})
    forked = await runner.drive(await runner.fork(waiting.run_id, waiting.seq, then=[other]))
    assert (forked.phase, ran) == (Phase.DONE, ["drafts"])


async def test_a_fork_with_events_of_its_own_is_written_at_once(finished, journal):
    """Half of it would be a run that somebody may take up."""
    runner, state = finished
    written = []

    def counted(name):
        write = getattr(journal, name)

        async def writing(*arguments, **more):
            written.append(name)
            return await write(*arguments, **more)

        return writing

    journal.append, journal.fork = counted("append"), counted("fork")
    (made,) = [one for one in events_of(journal, state.run_id) if isinstance(one, ev.ToolsCalled)]
    back = ev.tool_back(ToolResult(tool_call_id=made.message.tool_calls[0].tool_call_id, content="4"), at=1.0)
    forked = await runner.fork(state.run_id, 3, then=[back])
    assert written == ["append"]
    assert len(journal.runs[forked]) == 4


async def test_a_fork_whose_id_was_chosen_before_is_made_once(finished, journal):
    runner, state = finished
    assert await runner.fork(state.run_id, 1, new_id="run_chosen") == "run_chosen"
    with pytest.raises(JournalConflictError):
        await runner.fork(state.run_id, 1, new_id="run_chosen")
    assert len(journal.runs["run_chosen"]) == 1
