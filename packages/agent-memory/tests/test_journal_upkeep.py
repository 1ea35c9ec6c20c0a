# ruff: noqa: ASYNC240  # a test may wait for its own small files
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent_core.errors import JournalUnavailableError
from agent_core.testing.conformance.journal import a_run, events, heads
from agent_memory import JournalVersionError, SqliteJournal


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncGenerator[SqliteJournal]:
    async with await SqliteJournal.open(tmp_path / "runs.db") as journal:
        yield journal


async def write(journal: SqliteJournal, run_id: str, *, at: float = 0.0, count: int = 5) -> None:
    run = [replace(event, at=at + event.at) for event in a_run(run_id)[:count]]
    await journal.append(run_id, 0, run, writer="w")


def damage(journal: SqliteJournal, statement: str) -> None:
    with sqlite3.connect(journal.path) as db:
        db.execute(statement)
    db.close()


async def test_a_sound_journal_has_no_problems(journal: SqliteJournal) -> None:
    await write(journal, "a")
    await write(journal, "b", count=2)
    check = await journal.check()
    assert (check.runs, check.events, check.problems, check.is_sound) == (2, 7, (), True)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM events WHERE seq = 3", "its events should be 1 to 5 and are [1, 2, 4, 5]"),
        ("UPDATE runs SET last_seq = 4", "its events should be 1 to 4"),
        ("DELETE FROM runs", "events without a run"),
        ("UPDATE events SET body = x'7b' WHERE seq = 2", "event 2: this is no event"),
        (
            "UPDATE events SET body = (SELECT body FROM events WHERE seq = 5) WHERE seq = 2",
            "it does not replay",
        ),
    ],
)
async def test_damage_is_named(journal: SqliteJournal, statement: str, problem: str) -> None:
    await write(journal, "a")
    damage(journal, statement)
    (found,) = (await journal.check()).problems
    assert found.startswith("run 'a': ")
    assert problem in found


async def test_a_torn_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await SqliteJournal.open(path) as journal:
        for number in range(200):
            await write(journal, f"run{number}")
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 5 * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    async with await SqliteJournal.open(path) as journal:
        try:
            problems = (await journal.check()).problems
        except JournalUnavailableError as error:
            problems = (error.reason,)
    assert problems


async def test_runs_that_were_over_long_ago_are_removed(journal: SqliteJournal) -> None:
    for number in range(250):
        await write(journal, f"old{number}", at=100)
    await write(journal, "young", at=1_000)
    await write(journal, "waiting", at=100, count=3)
    assert await journal.prune(before=500) == 250
    assert {head.run_id for head in await heads(journal)} == {"young", "waiting"}
    assert await events(journal, "old7") == ()
    assert (await journal.check()).is_sound
    assert await journal.prune(before=500) == 0
    await write(journal, "old7", at=2_000)


async def test_forgotten_runs_leave_no_byte(tmp_path: Path) -> None:
    secret = "the blue heron flies at midnight"
    async with await SqliteJournal.open(tmp_path / "runs.db") as journal:
        await journal.append("kept", 0, a_run("kept", session_id="s", text="harmless"), writer="w")
        for number in range(20):
            run_id = f"gone{number}"
            await journal.append(run_id, 0, a_run(run_id, session_id="t", text=secret), writer="w")
            await journal.save_snapshot(run_id, 3, secret.encode())
        assert any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
        assert await journal.forget(session_id="t") == 20
        assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
        assert not any(b"gone1" in file.read_bytes() for file in tmp_path.iterdir())
        assert await journal.forget(run_ids=["kept", "unknown"]) == 1
        assert await heads(journal) == []


async def test_the_newest_snapshot_is_kept(journal: SqliteJournal) -> None:
    await write(journal, "a")
    assert await journal.load_snapshot("a") is None
    await journal.save_snapshot("a", 3, b"three")
    await journal.save_snapshot("a", 2, b"two")
    assert await journal.load_snapshot("a") == (3, b"three")
    await journal.save_snapshot("a", 5, b"five")
    assert await journal.load_snapshot("a") == (5, b"five")
    assert await journal.forget(run_ids=["a"]) == 1
    assert await journal.load_snapshot("a") is None


async def test_a_journal_of_version_one_is_opened_and_lifted(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await SqliteJournal.open(path) as journal:
        await write(journal, "a")
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE snapshots")
        db.execute("PRAGMA user_version = 1")
    db.close()
    async with await SqliteJournal.open(path) as journal:
        assert len(await events(journal, "a")) == 5
        await journal.save_snapshot("a", 5, b"x")
        assert await journal.load_snapshot("a") == (5, b"x")
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(JournalVersionError):
        await SqliteJournal.open(path)
