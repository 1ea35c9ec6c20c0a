# ruff: noqa: ASYNC240  # a test may wait for its own small files
import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent_core.errors import CodecError, JournalConflictError, JournalUnavailableError
from agent_core.events import AnswerAccepted
from agent_core.testing.conformance.journal import a_run, events, heads, stored
from agent_memory import JournalVersionError, SqliteJournal
from agent_memory.journal_file import SCHEMA_VERSION

RUN = a_run("r")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_what_is_closed_is_there_when_opened_again(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        await journal.append("r", 0, RUN[:2], writer="w")
    async with await SqliteJournal.open(str(path)) as journal:
        assert await events(journal, "r") == RUN[:2]
        assert await journal.append("r", 2, RUN[2:], writer="w") == 5
    assert [file.name for file in path.parent.iterdir()] == ["runs.db"]


async def test_created_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "agent" / "runs.db"
    async with await SqliteJournal.open(path) as journal:
        await journal.append("r", 0, RUN, writer="w")
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == {"runs.db": 0o600, "runs.db-wal": 0o600, "runs.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


async def test_the_mode_of_an_existing_file_is_left_alone(path: Path) -> None:
    path.touch(mode=0o640)
    path.chmod(0o640)
    await (await SqliteJournal.open(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_commits_wait_for_the_disk(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        connection = journal._writer._connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_closed_journal_says_so(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    append = asyncio.create_task(journal.append("r", 0, RUN, writer="w"))
    await asyncio.sleep(0)
    await journal.close()
    await journal.close()
    assert await append == 5
    with pytest.raises(JournalUnavailableError, match="it is closed"):
        await journal.append("r", 5, RUN, writer="w")
    with pytest.raises(JournalUnavailableError, match="it is closed"):
        await stored(journal, "r")


async def test_a_newer_file_is_refused_untouched(path: Path) -> None:
    await (await SqliteJournal.open(path)).close()
    execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(JournalVersionError, match="knows up to 2; upgrade agent-memory") as raised:
        await SqliteJournal.open(path)
    assert (raised.value.found, raised.value.known) == (SCHEMA_VERSION + 1, SCHEMA_VERSION)
    assert isinstance(raised.value, JournalUnavailableError)
    assert not raised.value.retryable
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
async def test_the_database_of_another_program_is_refused_untouched(path: Path, version: int) -> None:
    execute(path, "CREATE TABLE bookmarks (url)", f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(JournalUnavailableError, match="something else"):
        await SqliteJournal.open(path)
    assert path.read_bytes() == before


async def test_what_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"These are my notes. " * 200)
    with pytest.raises(JournalUnavailableError, match="is no SQLite database") as raised:
        await SqliteJournal.open(path)
    assert raised.value.where == str(path)
    assert path.read_bytes() == b"These are my notes. " * 200


async def test_a_damaged_file_says_so(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        for number in range(50):
            await journal.append(f"r{number}", 0, a_run(f"r{number}"), writer="w")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(JournalUnavailableError, match="damaged"):
        async with await SqliteJournal.open(path) as journal:
            await heads(journal)
    with pytest.raises(JournalUnavailableError, match="damaged"):
        async with await SqliteJournal.open(path) as journal:
            await journal.append("new", 0, RUN, writer="w")


async def test_an_event_of_a_later_version_says_so(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        await journal.append("r", 0, RUN, writer="w")
        execute(
            path, """UPDATE events SET body = CAST('{"type":"run.reborn","at":1}' AS BLOB) WHERE seq = 2"""
        )
        with pytest.raises(CodecError, match="upgrade"):
            await stored(journal, "r")
        assert await journal.append("r", 5, (), writer="w") == 5


async def test_a_folder_in_the_way_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailableError, match="cannot be opened"):
        await SqliteJournal.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailableError, match="Not a directory"):
        await SqliteJournal.open(tmp_path / "file" / "runs.db")


async def test_a_locked_file_fails_after_the_time_given_and_works_again(path: Path) -> None:
    async with await SqliteJournal.open(path, busy_timeout_s=0.05) as journal:
        await journal.append("r", 0, RUN[:1], writer="w")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailableError, match="another process keeps it locked") as raised:
            await journal.append("r", 1, RUN[1:], writer="w")
        assert raised.value.retryable
        assert await events(journal, "r") == RUN[:1]
        other.close()
        assert await journal.append("r", 1, RUN[1:], writer="w") == 5


async def test_two_journals_on_one_file_see_each_other(path: Path) -> None:
    async with await SqliteJournal.open(path) as one, await SqliteJournal.open(path) as two:
        await one.append("r", 0, RUN[:1], writer="one")
        with pytest.raises(JournalConflictError):
            await two.append("r", 0, RUN, writer="two")
        assert await two.append("r", 1, RUN[1:2], writer="two") == 2
        wins = await asyncio.gather(
            *(journal.append("r", 2, RUN[2:], writer="w") for journal in (one, two) for _ in range(5)),
            return_exceptions=True,
        )
        assert [win for win in wins if win == 5] == [5]
        assert await events(one, "r") == await events(two, "r") == RUN


async def test_a_new_file_may_be_opened_by_many_processes_at_once(path: Path) -> None:
    program = (
        "import asyncio, sys; from agent_memory import SqliteJournal; "
        "from agent_core.testing.conformance.journal import a_run\n"
        "async def main():\n"
        "    async with await SqliteJournal.open(sys.argv[1]) as journal:\n"
        "        await journal.append(sys.argv[2], 0, a_run(sys.argv[2]), writer='w')\n"
        "asyncio.run(main())"
    )
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, path, f"{number}", stderr=-1)
        for number in range(6)
    ]
    outputs = await asyncio.gather(*(child.communicate() for child in children))
    assert [errors for _, errors in outputs] == [b""] * 6
    async with await SqliteJournal.open(path) as journal:
        assert {head.run_id for head in await heads(journal)} == {"0", "1", "2", "3", "4", "5"}


async def test_a_cancelled_append_is_there_whole_or_not_at_all(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        lengths = set()
        for number in range(60):
            append = asyncio.create_task(journal.append(f"r{number}", 0, RUN, writer="w"))
            for _ in range(number % 6):
                await asyncio.sleep(0)
            append.cancel()
            await asyncio.gather(append, return_exceptions=True)
            # The next append waits for the one under way, so what is read now stays.
            await journal.append("probe", number, (AnswerAccepted(at=1.0),), writer="w")
            lengths.add(len(await stored(journal, f"r{number}")))
        assert lengths <= {0, len(RUN)}
        assert len(await stored(journal, "probe")) == 60


@pytest.mark.parametrize(("run_id", "writer"), [("\ud800", "w"), ("r", "\ud800")])
async def test_what_is_no_text_fails_alone(path: Path, run_id: str, writer: str) -> None:
    async with await SqliteJournal.open(path) as journal:
        bad, good = await asyncio.gather(
            journal.append(run_id, 0, RUN, writer=writer),
            journal.append("good", 0, RUN, writer="w"),
            return_exceptions=True,
        )
        assert isinstance(bad, UnicodeEncodeError)
        assert good == 5


async def test_reading_does_not_wait_for_a_writer(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        await journal.append("r", 0, RUN, writer="w")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        append = asyncio.create_task(journal.append("r", 5, RUN[4:], writer="w"))
        await asyncio.sleep(0.01)
        assert await events(journal, "r") == RUN
        other.execute("ROLLBACK")
        other.close()
        assert await append == 6


async def test_the_event_loop_waits_for_nobody(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        append = asyncio.create_task(journal.append("r", 0, RUN, writer="w"))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not append.done()
        other.close()
        await append


def test_an_event_loop_that_ends_without_closing_leaves_no_thread_behind(path: Path) -> None:
    program = (
        "import asyncio, sys; from agent_memory import SqliteJournal; "
        "from agent_core.testing.conformance.journal import a_run\n"
        "async def main():\n"
        "    journal = await SqliteJournal.open(sys.argv[1])\n"
        "    asyncio.create_task(journal.append('r', 0, a_run('r'), writer='w'))\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=30)


async def test_a_long_journal_does_not_lie_in_memory(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        for connection in (journal._writer.connection, journal._reader.connection):
            assert connection.execute("PRAGMA cache_size").fetchone() == (-512,)
