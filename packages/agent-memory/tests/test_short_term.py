from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.errors import ContextTooLongError
from agent_core.messages import Message, assistant, system, user
from agent_core.ports import HydrateRequest, RunHead, StoredEvent
from agent_core.state import RunState
from agent_core.testing.conformance.memory import PLENTY, outcome, request, texts
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import replay
from agent_memory import SessionMemory, ShortTermWindow, SqliteJournal
from agent_memory.short_term import turns


def words(message: Message) -> int:
    """One token a word; calls and results are one token each."""
    return len(message.text.split()) + len(message.tool_calls) + len(message.tool_results)


def window(budget_tokens: int) -> ShortTermWindow:
    return ShortTermWindow(budget_tokens=budget_tokens, model="test:model", count_tokens=words)


CALL = Message(role="assistant", parts=(ToolCall(tool_call_id="t", name="look_up", arguments={}),))
RESULT = Message(role="tool", parts=(ToolResult(tool_call_id="t", content="found"),))
FIRST = (user("one"), assistant("re one"))
SECOND = (user("two"), CALL, RESULT, assistant("re two"))
NEW = user("and now")


# The newest turn takes 5 tokens, the one before it 3, the input 2.
@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (2, ()),
        (6, ()),
        (7, SECOND),
        (9, SECOND),
        (10, (*FIRST, *SECOND)),
        (1_000, (*FIRST, *SECOND)),
    ],
)
def test_the_newest_whole_turns_stay(budget: int, kept: tuple[Message, ...]) -> None:
    assert window(budget).fit((*FIRST, *SECOND), NEW) == kept


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (5, (system("be kind please"),)),
        (9, (system("be kind please"),)),
        (10, (system("be kind please"), *SECOND)),
        (13, (system("be kind please"), *FIRST, *SECOND)),
    ],
)
def test_system_messages_stay_in_front(budget: int, kept: tuple[Message, ...]) -> None:
    assert window(budget).fit((*FIRST, system("be kind please"), *SECOND), NEW) == kept


def test_an_old_turn_does_not_slip_in_behind_one_that_did_not_fit() -> None:
    middle = (user("two " * 50), assistant("re"))
    last = (user("three"), assistant("re three"))
    assert window(20).fit((*FIRST, *middle, *last), NEW) == last


@pytest.mark.parametrize(("pinned", "budget", "tokens"), [((), 1, 2), ((system("be kind"),), 3, 4)])
def test_what_must_stay_and_does_not_fit_is_refused(
    pinned: tuple[Message, ...], budget: int, tokens: int
) -> None:
    with pytest.raises(ContextTooLongError, match="test:model") as raised:
        window(budget).fit((*pinned, *FIRST), NEW)
    assert (raised.value.tokens, raised.value.limit) == (tokens, budget)


def test_turns_begin_with_a_person() -> None:
    opening = assistant("welcome")
    assert turns(()) == []
    assert turns((opening, *FIRST, *SECOND)) == [(opening,), FIRST, SECOND]


exchanges = st.sampled_from([FIRST, SECOND, (user("w " * 9), CALL, RESULT, CALL, RESULT, assistant("x"))])


@given(st.lists(exchanges, max_size=8), st.booleans(), st.integers(2, 60))
def test_the_window_is_the_longest_end_of_whole_turns_within_the_budget(
    said: list[tuple[Message, ...]], pin: bool, budget: int
) -> None:
    messages = [message for turn in said for message in turn]
    pinned = (system("p"),) if pin else ()
    if budget < words(NEW) + pin:
        return
    kept = window(budget).fit((*pinned, *messages), NEW)
    assert kept[: len(pinned)] == pinned
    rest = list(kept[len(pinned) :])
    count = len(turns(rest))
    assert rest == [message for turn in said[len(said) - count :] for message in turn]
    assert sum(map(words, (*kept, NEW))) <= budget
    if count < len(said):
        assert sum(map(words, (*kept, NEW, *said[-count - 1]))) > budget


# ── the session's conversation ───────────────────────────────────────────────────────────────────────────────────


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


async def test_no_more_is_read_than_the_budget_takes(journal: Counting) -> None:
    for number in range(1, 40):
        await write(journal, number, "one")
    kept = memory(journal)
    assert len(await kept.hydrate(request("s", "new", budget_tokens=10))) == 6
    assert len(journal.runs_read) == 4
    assert len(await kept.hydrate(request("s", "new", budget_tokens=7))) == 4
    assert journal.lists == 1
    assert len(await kept.hydrate(request("s", "new", budget_tokens=16))) == 10, "a larger budget reads again"
    assert journal.lists == 2


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
    assert len(kept._sessions["s"].runs) == 7
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
