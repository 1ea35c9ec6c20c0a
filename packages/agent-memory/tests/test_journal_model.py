"""The journal against a dictionary: whatever is done to both, they hold the same."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from agent_core.errors import JournalConflictError, RunNotFoundError
from agent_core.events import AnswerRevised, Event, RunStarted
from agent_core.messages import user
from agent_core.testing.conformance.expect import raises
from agent_core.testing.conformance.journal import heads, stored
from agent_memory import SqliteJournal

Stored = list[tuple[str, Event]]
"""Writer and event."""

batches = st.lists(
    st.builds(AnswerRevised, at=st.floats(0, 2e9), reason=st.text(max_size=20)), min_size=1, max_size=4
)
run_ids = st.sampled_from("abcde")
writers = st.sampled_from(["one", "two"])


class JournalMachine(RuleBasedStateMachine):
    known = Bundle("known")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "runs.db")
        self.journal = self.loop.run(SqliteJournal.open(self.path))
        self.model: dict[str, Stored] = {}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run(self.journal.close())
            self.loop.close()
            self.folder.cleanup()

    @rule(run_id=run_ids, batch=batches, writer=writers, session_id=st.sampled_from(["s", "t"]))
    def append(self, run_id: str, batch: list[Event], writer: str, session_id: str) -> None:
        old = self.model.get(run_id, [])
        if not old:
            first = RunStarted(at=1, run_id=run_id, session_id=session_id, input=user("go"), model="m")
            batch = [first, *batch]
        last = self.loop.run(self.journal.append(run_id, len(old), batch, writer=writer))
        self.model[run_id] = old + [(writer, event) for event in batch]
        assert last == len(self.model[run_id])

    @rule(run_id=run_ids, batch=batches, off=st.integers(-3, 3).filter(bool))
    def append_elsewhere(self, run_id: str, batch: list[Event], off: int) -> None:
        head = len(self.model.get(run_id, []))
        expected = max(0, head + off)
        if expected != head:
            with raises(JournalConflictError) as raised:
                self.loop.run(self.journal.append(run_id, expected, batch, writer="stale"))
            assert raised.error.actual_seq == head

    @rule(run_id=run_ids, batch=batches, count=st.integers(2, 5))
    def race(self, run_id: str, batch: list[Event], count: int) -> None:
        old = self.model.get(run_id, [])

        async def appends() -> list[int | BaseException]:
            return await asyncio.gather(
                *(self.journal.append(run_id, len(old), batch, writer=f"{n}") for n in range(count)),
                return_exceptions=True,
            )

        outcomes = self.loop.run(appends())
        (winner,) = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        assert sum(isinstance(outcome, JournalConflictError) for outcome in outcomes) == count - 1
        self.model[run_id] = old + [(f"{winner}", event) for event in batch]

    @rule(run_id=run_ids, at_seq=st.integers(0, 8), new_run_id=run_ids)
    def fork(self, run_id: str, at_seq: int, new_run_id: str) -> None:
        fork = self.journal.fork(run_id, at_seq, new_run_id)
        if not 0 < at_seq <= len(self.model.get(run_id, [])):
            with raises(RunNotFoundError):
                self.loop.run(fork)
        elif new_run_id in self.model:
            with raises(JournalConflictError):
                self.loop.run(fork)
        else:
            self.loop.run(fork)
            self.model[new_run_id] = self.model[run_id][:at_seq]

    @rule()
    def reopen(self) -> None:
        self.loop.run(self.journal.close())
        self.journal = self.loop.run(SqliteJournal.open(self.path))

    @rule(run_id=run_ids, after=st.integers(0, 6))
    def read_behind(self, run_id: str, after: int) -> None:
        read = self.loop.run(stored(self.journal, run_id, after))
        assert [(one.writer, one.event) for one in read] == self.model.get(run_id, [])[after:]
        assert [one.seq for one in read] == list(range(after + 1, after + 1 + len(read)))

    @invariant()
    def lists_the_same_heads(self) -> None:
        if hasattr(self, "loop"):
            listed = self.loop.run(heads(self.journal))
            ends = [
                (head.run_id, (head.first.writer, head.first.event), (head.last.writer, head.last.event))
                for head in listed
            ]
            newest_first = [(run_id, run[0], run[-1]) for run_id, run in reversed(self.model.items())]
            assert ends == newest_first
            assert [head.last.seq for head in listed] == [len(r) for r in reversed(self.model.values())]


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
