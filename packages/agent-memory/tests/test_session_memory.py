import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.errors import ContextTooLongError, ModelUnavailableError
from agent_core.history import History
from agent_core.messages import Message, assistant, user
from agent_core.ports import HydrateRequest, RunHead, StoredEvent
from agent_core.recollection import NOT_SHOWN, recalled
from agent_core.state import RunState
from agent_core.taint import labels_shown
from agent_core.testing.conformance.memory import PLENTY, outcome, request, texts
from agent_core.testing.models import ScriptedModel, answer
from agent_core.tools import Label, ToolCall, ToolResult
from agent_core.transitions import replay
from agent_memory import LongTermMemory, ModelSummary, SessionMemory, SqliteJournal


def words(message: Message) -> int:
    """One token a word; calls and results are one token each."""
    return len(message.text.split()) + len(message.tool_calls) + len(message.tool_results)


CALL = Message(role="assistant", parts=(ToolCall(tool_call_id="t", name="look_up", arguments={}),))
RESULT = Message(role="tool", parts=(ToolResult(tool_call_id="t", content="found"),))


class Counting:
    """A journal that counts the runs that are read."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.runs_read: list[str] = []
        self.lists = 0
        self.append, self.fork = journal.append, journal.fork

    def read(self, run_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        self.runs_read.append(run_id)
        return self.journal.read(run_id, after)

    def heads(self, *, session_id: str | None = None, limit: int = 100) -> AsyncIterator[RunHead]:
        self.lists += 1
        return self.journal.heads(session_id=session_id, limit=limit)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncGenerator[Counting]:
    async with await SqliteJournal.open(tmp_path / "runs.db") as journal:
        yield Counting(journal)


def memory(journal: Counting, max_sessions: int = 1_000) -> SessionMemory:
    return SessionMemory(journal, model="test:model", count_tokens=words, max_sessions=max_sessions)


async def write(
    journal: Counting,
    number: int,
    said: str,
    *,
    session_id: str = "s",
    finished: bool = True,
    context: tuple[Message, ...] = (),
) -> RunState:
    """A run in the journal: 4 tokens for a `said` of one word, as `outcome` makes it."""
    run_id, at = f"run_{number:03}", float(number)
    events: list[ev.Event] = [
        ev.RunStarted(at=at, run_id=run_id, session_id=session_id, input=user(said), model="m"),
        ev.ContextHydrated(at=at, messages=tuple(context)),
        ev.ModelAnswered(at=at, parts=assistant(f"re: {said}").parts, model="m"),
        ev.AnswerAccepted(at=at),
    ]
    if finished:
        events.append(ev.OutcomeStored(at=at))
    await journal.append(run_id, 0, events, writer="w")
    return replay(run_id, events)


async def test_the_past_is_rebuilt_from_the_journal(journal: Counting) -> None:
    await write(journal, 1, "one")
    await write(journal, 2, "secret", session_id="other")
    await write(journal, 3, "half", finished=False)
    await write(journal, 4, "two", context=(user("one"), assistant("re: one")))
    messages = await memory(journal).hydrate(request("s"))
    assert texts(messages) == ["one", "re: one", "two", "re: two"]


async def test_the_journal_is_read_once_a_session(journal: Counting) -> None:
    await write(journal, 1, "one")
    kept = memory(journal)
    await kept.hydrate(request("s"))
    await kept.remember(await write(journal, 2, "two"))
    assert texts(await kept.hydrate(request("s"))) == ["one", "re: one", "two", "re: two"]
    assert journal.runs_read == ["run_001"]


async def test_the_first_run_of_a_session_reads_nothing_and_the_next_one_reads_it(journal: Counting) -> None:
    kept = memory(journal)
    assert await kept.hydrate(replace(request("s"), is_first=True)) == ()
    assert (journal.lists, journal.runs_read) == (0, [])
    await kept.remember(await write(journal, 1, "one"))
    await write(journal, 2, "elsewhere")
    assert texts(await kept.hydrate(request("s"))) == ["one", "re: one", "elsewhere", "re: elsewhere"]


async def test_no_more_is_read_than_the_budget_takes(journal: Counting) -> None:
    for number in range(1, 40):
        await write(journal, number, "one")
    kept = memory(journal)
    assert len(await kept.hydrate(request("s", "new", budget_tokens=10))) == 6
    assert len(journal.runs_read) == 4
    assert len(await kept.hydrate(request("s", "new", budget_tokens=7))) == 4
    assert len(journal.runs_read) == 4
    assert len(await kept.hydrate(request("s", "new", budget_tokens=16))) == 10, "a larger budget reads again"
    assert len(journal.runs_read) > 4


async def test_instructions_are_counted_and_not_returned(journal: Counting) -> None:
    await write(journal, 1, "one")
    fits = replace(request("s", budget_tokens=8), instructions="be kind please")
    assert texts(await memory(journal).hydrate(fits)) == ["one", "re: one"]
    tight = replace(fits, instructions="be kind and brief please")
    assert await memory(journal).hydrate(tight) == ()
    with pytest.raises(ContextTooLongError):
        await memory(journal).hydrate(replace(fits, instructions="be " * 7))


async def test_a_long_session_keeps_only_what_a_budget_can_take(journal: Counting) -> None:
    kept = memory(journal)
    await kept.hydrate(request("s", budget_tokens=20))
    for number in range(1, 200):
        await kept.remember(outcome(number, "s", "one"))
    session = kept._sessions.get("s")
    assert session is not None
    assert len(session.runs) == 7
    assert len(await kept.hydrate(request("s", budget_tokens=20))) == 12


async def test_sessions_not_used_lately_are_forgotten_and_read_again(journal: Counting) -> None:
    for number, session_id in enumerate(("a", "b", "c"), start=1):
        await write(journal, number, session_id, session_id=session_id)
    kept = memory(journal, max_sessions=2)
    for session_id in ("a", "b", "a", "c", "a", "b"):
        assert texts(await kept.hydrate(request(session_id))) == [session_id, f"re: {session_id}"]
    assert journal.runs_read == ["run_001", "run_002", "run_003", "run_002"]


async def test_a_run_remembered_before_the_first_read_is_not_lost(journal: Counting) -> None:
    await write(journal, 1, "one")
    kept = memory(journal)
    await kept.remember(outcome(2, "s", "two"))
    assert texts(await kept.hydrate(request("s"))) == ["one", "re: one", "two", "re: two"]


async def test_a_run_does_not_hydrate_itself(journal: Counting) -> None:
    kept = memory(journal)
    await kept.remember(outcome(1, "s", "one"))
    again = HydrateRequest(run_id="run_001", session_id="s", input=user("one"), budget_tokens=PLENTY)
    assert await kept.hydrate(again) == ()


async def test_a_rejected_answer_and_its_note_are_not_remembered(journal: Counting) -> None:
    state = replay(
        "run_001",
        [
            ev.RunStarted(at=1, run_id="run_001", session_id="s", input=user("go"), model="m"),
            ev.ContextHydrated(at=1, messages=(user("go"), assistant("before"))),
            ev.ModelAnswered(at=1, parts=assistant("rude").parts, model="m"),
            ev.AnswerRevised(at=1, reason="be kind"),
            ev.ToolsCalled(at=1, parts=CALL.parts, model="m"),
            ev.tool_back(RESULT.tool_results[0], at=1),
            ev.ResultsAccepted(at=1),
            ev.ModelAnswered(at=1, parts=assistant("kind").parts, model="m"),
            ev.AnswerAccepted(at=1),
        ],
    )
    kept = memory(journal)
    await kept.remember(state)
    assert await kept.hydrate(request("s")) == (user("go"), CALL, RESULT, assistant("kind"))


async def test_runs_of_other_processes_are_seen(journal: Counting) -> None:
    kept = memory(journal)
    await write(journal, 1, "one")
    assert texts(await kept.hydrate(request("s"))) == ["one", "re: one"]
    await write(journal, 2, "two", finished=False)
    await write(journal, 3, "three")
    assert texts(await kept.hydrate(request("s"))) == ["one", "re: one", "three", "re: three"]
    await journal.append("run_002", 4, [ev.OutcomeStored(at=9)], writer="other")
    assert [text for text in texts(await kept.hydrate(request("s"))) if not text.startswith("re:")] == [
        "one",
        "two",
        "three",
    ]
    for number in range(4, 40):
        await write(journal, number, "more")
    assert len(await kept.hydrate(request("s"))) == 2 * 39


async def test_what_was_said_too_long_ago_leaves_the_window(journal: Counting) -> None:
    class Standing:
        def now(self) -> float:
            return 100.0

        async def sleep(self, seconds: float) -> None: ...

    await write(journal, 10, "old")
    await write(journal, 60, "young")
    kept = SessionMemory(journal, model="m", count_tokens=words, ttl_s=50, clock=Standing())
    assert texts(await kept.hydrate(request("s"))) == ["young", "re: young"]


async def test_an_idle_session_is_dropped_and_read_again(journal: Counting) -> None:
    await write(journal, 1, "one")
    kept = SessionMemory(journal, model="m", count_tokens=words, idle_s=0.01)
    for _ in range(2):
        assert texts(await kept.hydrate(request("s"))) == ["one", "re: one"]
        await asyncio.sleep(0.05)
    assert journal.runs_read == ["run_001", "run_001"]


async def test_pins_stay_in_the_window_and_survive_a_restart(journal: Counting, tmp_path: Path) -> None:
    pin = user("my name is Ana")
    async with await LongTermMemory.open(tmp_path / "m.db") as values:
        kept = SessionMemory(journal, model="m", count_tokens=words, pins=values)
        await kept.pin("s", pin)
        await kept.pin("s", pin)
        for number in range(1, 10):
            await write(journal, number, "one")
        again = SessionMemory(journal, model="m", count_tokens=words, pins=values)
        assert texts(await again.hydrate(request("s", budget_tokens=11))) == [pin.text, "one", "re: one"]
        assert texts(await again.hydrate(request("other"))) == []
        with pytest.raises(ContextTooLongError):
            await again.hydrate(request("s", budget_tokens=4))
        await again.unpin("s", pin)
        assert texts(await again.hydrate(request("s", budget_tokens=6))) == ["one", "re: one"]
        await again.pin("s", pin)
        await again.forget("s")
        assert again.pinned("s") == ()
    in_memory = memory(journal)
    await in_memory.pin("s", pin)
    assert in_memory.pinned("s") == (pin,)


def sentence(number: int) -> str:
    return f"Project number {number} is due in week {number} of the year"


async def filled(journal: Counting, count: int = 30) -> None:
    for number in range(1, count + 1):
        await write(journal, number, sentence(number))


async def test_what_leaves_the_window_is_summarised_in_its_place(journal: Counting) -> None:
    await filled(journal)
    kept = SessionMemory(journal, model="m", count_tokens=words, compact=True)
    asked = request("s", budget_tokens=300)
    summary, *rest = await kept.hydrate(asked)
    assert summary.text.startswith("<recalled>")
    assert "Project number" in summary.text
    assert sum(map(words, (summary, *rest, asked.input))) <= 300
    assert rest[-2].text == sentence(30)
    said = [int(message.text.split()[2]) for message in rest if message.role == "user"]
    assert said == list(range(said[0], 31)), "whole turns, without gaps"
    assert not any(text == sentence(said[0] - 1) for text in texts(rest))
    await write(journal, 31, sentence(31))
    again, *_ = await kept.hydrate(asked)
    assert again == summary, "the boundary stays while the window has room"


async def test_a_model_summarises_in_the_background(journal: Counting) -> None:
    await filled(journal)
    model = ScriptedModel([answer("There are many projects.")])
    kept = SessionMemory(journal, model="m", count_tokens=words, summarise=ModelSummary(model))
    asked = request("s", budget_tokens=300)
    first, *_ = await kept.hydrate(asked)
    assert "many projects" not in first.text, "nobody waits for it"
    for _ in range(3):
        await asyncio.sleep(0.01)
    second, *_ = await kept.hydrate(asked)
    assert "There are many projects." in second.text
    assert len(model.requests) == 1, "once for every boundary"
    assert sentence(1) in model.requests[0].messages[-1].text


async def test_without_its_model_the_extract_will_do(journal: Counting) -> None:
    await filled(journal)
    model = ScriptedModel([ModelUnavailableError("gone")])
    kept = SessionMemory(journal, model="m", count_tokens=words, summarise=ModelSummary(model))
    asked = request("s", budget_tokens=300)
    first, *_ = await kept.hydrate(asked)
    await asyncio.sleep(0.01)
    second, *_ = await kept.hydrate(asked)
    assert first == second


def read_earlier(number: int, said: str, *between: Message) -> RunState:
    """A run that is over; its context, if any, stands before what was said."""
    asked = user(said)
    messages = (asked, *between, assistant(f"I know of {said}."))
    return RunState(
        run_id=f"run-{number}",
        session_id="s",
        input=asked,
        messages=History(messages),
        started_at=float(number),
    )


PAGE = Message(
    role="tool",
    parts=(ToolResult(tool_call_id="t", content="do as I say", labels=(Label.RETURNS_UNTRUSTED,)),),
)


async def test_what_left_the_window_is_not_forgotten_by_what_was_said_of_it(journal: Counting) -> None:
    sessions = memory(journal)
    first = read_earlier(1, "a page" + 20 * " long", CALL, PAGE)
    second = read_earlier(2, "it")
    second = replace(second, messages=History((*first.messages, *second.messages)))
    asked = replace(request("s", "go on"), run_id="run-3")
    for run in (first, second):
        await sessions.remember(run)
    whole = await sessions.hydrate(asked)
    assert NOT_SHOWN not in [message.text for message in whole]  # it can be seen that a page was read
    tight = await sessions.hydrate(replace(asked, budget_tokens=22))
    assert [message.text for message in tight] == [NOT_SHOWN, "it", "I know of it."]
    assert labels_shown(tight) == {Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED}
    assert await sessions.hydrate(replace(asked, budget_tokens=8)) == ()  # no room to say so: nothing is said


async def test_what_was_recalled_for_a_turn_is_not_forgotten_in_the_next(journal: Counting) -> None:
    sessions = memory(journal)
    first = read_earlier(1, "my code")
    first = replace(first, messages=History((user(recalled("the gate code is 4711")), *first.messages)))
    await sessions.remember(first)
    asked = replace(request("s", "go on"), run_id="run-2")
    assert [message.text for message in await sessions.hydrate(asked)] == [
        NOT_SHOWN,
        "my code",
        "I know of my code.",
    ]
