"""What keys spend: counted once, whatever happened to the daemon between."""

import sqlite3

import pytest

from agent_api.access.keys import KeyLimits, KeyStore
from agent_api.access.metering import Meter, catch_up
from agent_api.access.spending import KEEP_OVER_S, OVERLAP_S, SpendingBook
from agent_api.errors import AccessUnavailableError, RateLimitedError
from agent_core import events as ev
from agent_core.messages import Text, Usage, user
from agent_core.runner import Runner
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, ScriptedTools, answer, call

NOW = 1_700_000_000.0
WHO = {"tenant": "default", "key_id": "k1"}


class Clocks:
    """One time for a book and for a runner, which only a test moves."""

    def __init__(self):
        self.at = NOW

    def now(self):
        return self.at

    async def sleep(self, seconds):
        self.at += seconds


@pytest.fixture
def clock():
    return Clocks()


@pytest.fixture
def open_book(tmp_path, clock):
    """Open the book; opened again, what the one before had not written is lost, as when its process was killed."""
    books = []

    def again():
        books.append(SpendingBook(tmp_path, now=clock.now))
        return books[-1]

    yield again
    for book in books:
        book.close()


def spent(book):
    return [(day.key_id, day.input_tokens + day.output_tokens, day.turns) for day in book.days(tenant=None)]


async def run_of(book, journal, clock, *, observers=(), replies=None, run_id="run_1"):
    """A run that `k1` pays for, with two turns."""
    book.own(run_id, **WHO)
    model = ScriptedModel(replies or [call("add", {"a": 1, "b": 2}), answer("three")])
    tools = ScriptedTools({"add": lambda a, b: str(a + b)})
    runner = Runner(model=model, tools=tools, memory=NoMemory(), journal=journal, clock=clock)
    await runner.start("1+2?", run_id=run_id)
    return await runner.drive(run_id, observers=observers)


async def test_what_a_killed_daemon_had_counted_and_not_written_is_counted_at_the_next_start(
    open_book, clock
):
    journal, book = InMemoryJournal(), open_book()
    state = await run_of(book, journal, clock, observers=(Meter(book),))
    total = state.usage.prompt_tokens + state.usage.output_tokens
    next_book = open_book()
    assert spent(next_book) == []
    await catch_up(next_book, journal)
    assert spent(next_book) == [("k1", total, 2)]


async def test_what_was_written_is_not_counted_again(open_book, clock):
    journal, book = InMemoryJournal(), open_book()
    await run_of(book, journal, clock, observers=(Meter(book),))
    before = spent(book)
    for _ in range(2):
        next_book = open_book()
        await catch_up(next_book, journal)
        assert spent(next_book) == before


async def test_of_a_run_that_was_written_half_the_other_half_is_counted(open_book, clock):
    journal, book = InMemoryJournal(), open_book()

    class Half(Meter):
        def on_event(self, stored, state):
            super().on_event(stored, state)
            if isinstance(stored.event, ev.ToolsCalled):
                book.flush()

    state = await run_of(book, journal, clock, observers=(Half(book),))
    next_book = open_book()
    assert [turns for _, _, turns in spent(next_book)] == [1]
    await catch_up(next_book, journal)
    assert spent(next_book) == [("k1", state.usage.prompt_tokens + state.usage.output_tokens, 2)]


async def test_a_sub_agent_s_turns_are_found_for_who_called_it(open_book, clock):
    journal, book = InMemoryJournal(), open_book()
    await run_of(book, journal, clock, observers=(Meter(book),), replies=[answer("yes")])
    book.flush()
    for run_id, parent_id in (("run_2", "run_1"), ("run_3", "run_2")):
        started = ev.RunStarted(
            at=clock.at, run_id=run_id, session_id="s", input=user("x"), model="m", parent_id=parent_id
        )
        turn = ev.ModelAnswered(at=clock.at, parts=(Text(text="y"),), usage=Usage(input_tokens=5))
        await journal.append(run_id, 0, (started, ev.ContextHydrated(at=clock.at), turn), writer="w")
    before = spent(book)
    next_book = open_book()
    await catch_up(next_book, journal)
    assert spent(next_book) == [("k1", before[0][1] + 10, before[0][2] + 2)]


async def test_nobody_pays_for_a_run_that_no_key_began(open_book, clock):
    journal, book = InMemoryJournal(), open_book()
    model = ScriptedModel([answer("yes")])
    runner = Runner(model=model, tools=ScriptedTools({}), memory=NoMemory(), journal=journal, clock=clock)
    await runner.drive(await runner.start("x"), observers=(Meter(book),))
    await catch_up(book, journal)
    assert spent(book) == []


def test_a_limit_holds_for_what_is_not_written_yet(open_book, tmp_path, clock):
    keys, book = KeyStore(tmp_path), open_book()
    try:
        key, _ = keys.create(now=NOW, limits=KeyLimits(tokens_per_day=10, cost_usd_per_month=1.0))
    finally:
        keys.close()
    book.check(key, NOW)
    book.add(tenant="default", key_id=key.key_id, usage=Usage(input_tokens=4, output_tokens=6), at=NOW)
    with pytest.raises(RateLimitedError, match="tokens a day"):
        book.check(key, NOW)
    tomorrow = NOW + 86_400
    book.check(key, tomorrow)
    book.add(tenant="default", key_id=key.key_id, usage=Usage(cost_usd=1.0), at=NOW)
    with pytest.raises(RateLimitedError, match="money a month"):
        book.check(key, tomorrow)


def test_what_cannot_be_written_waits_and_no_run_begins_that_nobody_is_known_to_pay_for(
    open_book, tmp_path, clock
):
    book = open_book()
    book._connection.execute("PRAGMA query_only = ON")  # as a full disk: every write fails
    book.add(**WHO, usage=Usage(input_tokens=3), at=NOW)
    book.flush()
    with pytest.raises(AccessUnavailableError, match="who pays for a run"):
        book.own("run_1", **WHO)
    book._connection.execute("PRAGMA query_only = OFF")
    book.flush()
    assert spent(open_book()) == [("k1", 3, 1)]


async def test_who_paid_for_runs_that_are_long_over_is_forgotten(open_book, clock):
    journal, book = InMemoryJournal(), open_book()
    await run_of(book, journal, clock, observers=(Meter(book),))
    book.own("run_2", **WHO)
    book.flush()
    clock.at += KEEP_OVER_S + 1
    book.add(**WHO, usage=Usage(input_tokens=1), at=clock.at)
    book.flush()
    next_book = open_book()
    assert (next_book.owner("run_1"), next_book.owner("run_2")) == (None, ("default", "k1"))
    before = spent(next_book)
    await catch_up(next_book, journal)
    assert spent(next_book) == before


async def test_a_file_of_an_older_version_is_taken_over(tmp_path, open_book, clock):
    with sqlite3.connect(tmp_path / "spending.db") as db:
        db.execute(
            "CREATE TABLE owners (run_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, key_id TEXT NOT NULL) "
            "STRICT, WITHOUT ROWID"
        )
        db.execute("INSERT INTO owners VALUES ('run_old', 'default', 'k0')")
    db.close()
    book = open_book()
    assert (book.owner("run_old"), book.counted_to("run_old")) == (("default", "k0"), 0)
    assert book.counts_from() == NOW
    book.add(**WHO, usage=Usage(input_tokens=1), at=NOW)
    clock.at += 10 * OVERLAP_S
    book.flush()
    assert book.counts_from() == clock.at - OVERLAP_S
