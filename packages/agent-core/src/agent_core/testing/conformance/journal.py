"""The promises of the `Journal` port. Subclass `JournalConformance` and say how to open yours; pytest does the rest.

    class TestMyJournal(JournalConformance):
        def journal(self):
            return MyJournal.open(...)  # an async context manager

Needs pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel

from agent_core.errors import JournalConflictError, RunNotFoundError
from agent_core.events import (
    AnswerAccepted,
    ContextHydrated,
    Event,
    ModelAnswered,
    OutcomeStored,
    RunStarted,
)
from agent_core.messages import assistant, user
from agent_core.ports import Journal, RunHead, StoredEvent
from agent_core.state import Phase
from agent_core.testing.conformance.expect import raises
from agent_core.transitions import replay

WRITER = "conformance"


def a_run(run_id: str, session_id: str = "session", text: str = "hello") -> tuple[Event, ...]:
    """The five events of a run that needs no tool."""
    return (
        RunStarted(at=1.0, run_id=run_id, session_id=session_id, input=user(text), model="test:model"),
        ContextHydrated(at=2.0, messages=(user("before"), assistant("indeed"))),
        ModelAnswered(at=3.0, parts=assistant(f"you said {text}").parts, model="test:model"),
        AnswerAccepted(at=4.0),
        OutcomeStored(at=5.0),
    )


async def stored(journal: Journal, run_id: str, after: int = 0) -> list[StoredEvent]:
    """All that `read` gives."""
    return [one async for one in journal.read(run_id, after)]


async def events(journal: Journal, run_id: str) -> tuple[Event, ...]:
    """The events of a run without their places."""
    return tuple(one.event for one in await stored(journal, run_id))


async def heads(journal: Journal, *, session_id: str | None = None, limit: int = 100) -> list[RunHead]:
    """All that `heads` gives."""
    return [head async for head in journal.heads(session_id=session_id, limit=limit)]


class JournalConformance:
    """Each test opens a journal of its own, through `journal`."""

    @abstractmethod
    def journal(self) -> AbstractAsyncContextManager[Journal]:
        """An empty journal, closed at the end of the block."""

    async def test_what_is_appended_is_read_in_order(self) -> None:
        """One batch, then another; numbers start at 1 and have no gap."""
        run = a_run("r")
        async with self.journal() as journal:
            assert await journal.append("r", 0, run[:2], writer="first") == 2
            assert await journal.append("r", 2, run[2:], writer="second") == 5
            read = await stored(journal, "r")
        assert [one.event for one in read] == list(run)
        assert [one.seq for one in read] == [1, 2, 3, 4, 5]
        assert {one.run_id for one in read} == {"r"}
        assert [one.writer for one in read] == ["first"] * 2 + ["second"] * 3

    async def test_an_unknown_run_has_no_events(self) -> None:
        """Reading what nobody wrote is no error."""
        async with self.journal() as journal:
            assert await stored(journal, "nobody") == []
            assert await stored(journal, "nobody", after=3) == []

    async def test_read_begins_behind_the_number_given(self) -> None:
        """`after` is the last number the reader has."""
        run = a_run("r")
        async with self.journal() as journal:
            await journal.append("r", 0, run, writer=WRITER)
            assert [one.seq for one in await stored(journal, "r", after=3)] == [4, 5]
            assert await stored(journal, "r", after=5) == []
            assert await stored(journal, "r", after=50) == []

    async def test_a_stale_append_is_refused(self) -> None:
        """The writer did not see the last events: nothing of its batch is kept, and the error says where the head is."""
        run = a_run("r")
        async with self.journal() as journal:
            await journal.append("r", 0, run[:3], writer=WRITER)
            for expected in (0, 1, 2):
                with raises(JournalConflictError) as raised:
                    await journal.append("r", expected, run[3:], writer=WRITER)
                assert (raised.error.run_id, raised.error.expected_seq) == ("r", expected)
                assert raised.error.actual_seq == 3
            assert await events(journal, "r") == run[:3]
            assert await journal.append("r", 3, run[3:], writer=WRITER) == 5

    async def test_an_append_beyond_the_head_is_refused(self) -> None:
        """A gap can never come to be, in a known run or in a new one."""
        run = a_run("r")
        async with self.journal() as journal:
            await journal.append("r", 0, run[:1], writer=WRITER)
            with raises(JournalConflictError) as raised:
                await journal.append("r", 2, run[1:], writer=WRITER)
            assert raised.error.actual_seq == 1
            with raises(JournalConflictError) as raised:
                await journal.append("new", 1, run, writer=WRITER)
            assert raised.error.actual_seq == 0
            assert await events(journal, "r") == run[:1]
            assert await events(journal, "new") == ()
            assert [head.run_id for head in await heads(journal)] == ["r"]

    async def test_an_append_of_nothing_only_checks_the_head(self) -> None:
        """It returns the head, or refuses, and creates no run."""
        async with self.journal() as journal:
            assert await journal.append("r", 0, (), writer=WRITER) == 0
            assert await heads(journal) == []
            await journal.append("r", 0, a_run("r")[:1], writer=WRITER)
            assert await journal.append("r", 1, (), writer=WRITER) == 1
            with raises(JournalConflictError):
                await journal.append("r", 0, (), writer=WRITER)

    async def test_a_reader_sees_whole_batches(self) -> None:
        """Whoever reads while others write sees the events of an append all or none."""
        run = a_run("r")
        async with self.journal() as journal, anyio.create_task_group() as tasks:

            async def write() -> None:
                for number in range(10):
                    await journal.append(f"r{number}", 0, run, writer=WRITER)

            tasks.start_soon(write)
            while len(await stored(journal, "r9")) == 0:
                lengths = {len(await stored(journal, f"r{number}")) for number in range(10)}
                assert lengths <= {0, len(run)}
                await anyio.lowlevel.checkpoint()

    async def test_of_concurrent_appends_to_one_run_one_wins(self) -> None:
        """Twenty writers hold the same head; the others learn where the run is now."""
        run = a_run("r")
        wins: list[str] = []
        losses: list[int] = []
        async with self.journal() as journal:
            await journal.append("r", 0, run[:1], writer=WRITER)

            async def write(writer: str) -> None:
                try:
                    await journal.append("r", 1, run[1:3], writer=writer)
                except JournalConflictError as error:
                    losses.append(error.actual_seq)
                else:
                    wins.append(writer)

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(write, f"w{number}")
            read = await stored(journal, "r")
        assert len(wins) == 1
        assert losses == [3] * 19
        assert [one.seq for one in read] == [1, 2, 3]
        assert {one.writer for one in read[1:]} == set(wins)

    async def test_many_runs_are_written_at_once(self) -> None:
        """A hundred runs grow side by side, in steps; none hinders another, and each stays whole."""
        async with self.journal() as journal:

            async def write(run_id: str) -> None:
                run = a_run(run_id, text=run_id)
                for seq, event in enumerate(run):
                    assert await journal.append(run_id, seq, (event,), writer=WRITER) == seq + 1

            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(write, f"r{number}")
            for number in range(100):
                assert await events(journal, f"r{number}") == a_run(f"r{number}", text=f"r{number}")

    async def test_a_refused_append_does_not_hinder_its_neighbours(self) -> None:
        """Good and stale appends that arrive together: the good ones are kept."""
        async with self.journal() as journal:
            await journal.append("old", 0, a_run("old"), writer=WRITER)
            refused: list[str] = []

            async def write(run_id: str, expected: int) -> None:
                try:
                    await journal.append(run_id, expected, a_run(run_id), writer=WRITER)
                except JournalConflictError:
                    refused.append(run_id)

            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(write, f"new{number}", 0)
                    tasks.start_soon(write, "old", 1)
            assert refused == ["old"] * 10
            assert len(await heads(journal)) == 11
            assert len(await stored(journal, "old")) == 5

    async def test_heads_list_the_newest_run_first(self) -> None:
        """By the order in which the runs began, not in which they last moved."""
        async with self.journal() as journal:
            for run_id in ("a", "b", "c"):
                await journal.append(run_id, 0, a_run(run_id)[:1], writer=run_id)
            await journal.append("a", 1, a_run("a")[1:], writer="later")
            listed = await heads(journal)
        assert [head.run_id for head in listed] == ["c", "b", "a"]
        newest, _, oldest = listed
        assert newest.first == newest.last
        assert oldest.first == StoredEvent(run_id="a", seq=1, event=a_run("a")[0], writer="a")
        assert oldest.last == StoredEvent(run_id="a", seq=5, event=a_run("a")[-1], writer="later")

    async def test_heads_are_filtered_by_session_and_limited(self) -> None:
        """The limit counts what the filter let pass."""
        async with self.journal() as journal:
            assert await heads(journal) == []
            for number in range(12):
                run = a_run(f"r{number}", session_id="even" if number % 2 == 0 else "odd")
                await journal.append(f"r{number}", 0, run, writer=WRITER)
            assert [h.run_id for h in await heads(journal, limit=3)] == ["r11", "r10", "r9"]
            even = await heads(journal, session_id="even", limit=2)
            assert [head.run_id for head in even] == ["r10", "r8"]
            assert {head.session_id for head in even} == {"even"}
            assert len(await heads(journal, session_id="odd")) == 6
            assert await heads(journal, session_id="none") == []
            assert await heads(journal, limit=0) == []

    async def test_heads_list_more_runs_than_one_page_holds(self) -> None:
        """A long list has every run once."""
        async with self.journal() as journal:
            for number in range(250):
                await journal.append(f"r{number}", 0, a_run(f"r{number}")[:1], writer=WRITER)
            listed = [head.run_id for head in await heads(journal, limit=1000)]
        assert listed == [f"r{number}" for number in reversed(range(250))]

    async def test_a_fork_has_the_first_events_of_its_run(self) -> None:
        """The copy is a run of its own from there on; the original is untouched."""
        run = a_run("r")
        async with self.journal() as journal:
            await journal.append("r", 0, run[:2], writer="one")
            await journal.append("r", 2, run[2:], writer="two")
            await journal.fork("r", 3, "copy")
            copy = await stored(journal, "copy")
            assert [(one.run_id, one.seq) for one in copy] == [("copy", 1), ("copy", 2), ("copy", 3)]
            assert tuple(one.event for one in copy) == run[:3]
            assert [one.writer for one in copy] == ["one", "one", "two"]
            assert await journal.append("copy", 3, run[3:], writer=WRITER) == 5
            assert await events(journal, "r") == run
            assert [head.run_id for head in await heads(journal, session_id="session")] == ["copy", "r"]
            state = replay("copy", [one.event for one in await stored(journal, "copy")])
        assert (state.run_id, state.phase, state.seq) == ("copy", Phase.DONE, 5)

    async def test_a_fork_of_what_is_missing_is_refused(self) -> None:
        """No such run, or no such event in it."""
        async with self.journal() as journal:
            with raises(RunNotFoundError):
                await journal.fork("nobody", 1, "copy")
            await journal.append("r", 0, a_run("r"), writer=WRITER)
            for at_seq in (0, 6):
                with raises(RunNotFoundError):
                    await journal.fork("r", at_seq, "copy")
            assert [head.run_id for head in await heads(journal)] == ["r"]

    async def test_a_fork_onto_an_existing_run_is_refused(self) -> None:
        """History is never overwritten, the run's own neither."""
        async with self.journal() as journal:
            await journal.append("r", 0, a_run("r"), writer=WRITER)
            await journal.append("other", 0, a_run("other")[:2], writer=WRITER)
            for target in ("other", "r"):
                with raises(JournalConflictError):
                    await journal.fork("r", 3, target)
            assert await events(journal, "other") == a_run("other")[:2]
            assert await events(journal, "r") == a_run("r")

    async def test_any_text_comes_back_unchanged(self) -> None:
        """In contents, and in the names of runs, sessions and writers."""
        text = "Zażółć 日本語 🙂 \u0000 \u2028 \\ \" ' \n\t\r % ?"
        run = a_run(text, session_id=text, text=text)
        async with self.journal() as journal:
            await journal.append(text, 0, run, writer=text)
            read = await stored(journal, text)
            (head,) = await heads(journal, session_id=text)
        assert tuple(one.event for one in read) == run
        assert (head.run_id, head.session_id, head.last.writer) == (text, text, text)

    async def test_large_contents_come_back_unchanged(self) -> None:
        """Events of a megabyte each."""
        run = a_run("r", text="0123456789abcdef" * (1 << 16))
        async with self.journal() as journal:
            await journal.append("r", 0, run, writer=WRITER)
            assert await events(journal, "r") == run
