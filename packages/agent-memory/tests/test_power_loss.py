# ruff: noqa: ASYNC240  # a test may wait for its own small files
"""Power is cut while something is written: what was acknowledged is there afterwards, and no file is damaged.

A file system for SQLite notes every write, in order. A cut keeps what was synchronised, and of each write since then
all, nothing, or some of its sectors, each by chance, so in any order. `pytest -m slow` makes 500 cuts, by default 60.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from agent_core.testing.conformance.journal import a_run
from agent_memory import SqliteJournal, sqlite
from agent_memory.journal_file import Append, JournalFile, _prepare, session_of
from agent_memory.long_term import entries, episodes
from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.store import SCHEMA
from agent_memory.sqlite_store import SqliteStore, Statement
from agent_memory.sqlite_store import _prepare as prepare_store

SECTOR = 512


class Noted(NamedTuple):
    """One thing that was asked of the disk."""

    file: str
    kind: str
    offset: int = 0
    data: bytes = b""


class Disk(apsw.VFS):
    """The system's files; notes what is done to them."""

    def __init__(self, name: str) -> None:
        self.vfs_name = name
        self.notes: list[Noted] = []
        super().__init__(name, "")

    def note(self, file: str, kind: str, offset: int = 0, data: bytes = b"") -> None:
        self.notes.append(Noted(Path(file).name, kind, offset, data))

    def xOpen(self, name: Any, flags: list[int]) -> "File":  # noqa: N802
        return File(self, name, flags)

    def xDelete(self, name: str, sync_dir: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_dir)
        self.note(name, "delete", int(bool(sync_dir)))


class File(apsw.VFSFile):
    """One open file."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.file = name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary"
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.disk.note(self.file, "write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self.disk.note(self.file, "truncate", size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self.disk.note(self.file, "sync")


class Rows:
    """A cursor with the words of `sqlite3`."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.lastrowid = connection.last_insert_rowid()
        self.rowcount = connection.changes()
        self.fetchone, self.fetchall, self.close = cursor.fetchone, cursor.fetchall, cursor.close

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class Connection:
    """An apsw connection with the words of `sqlite3` that our files use."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._connection = apsw.Connection(str(path), vfs=disk.vfs_name)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Any = ()) -> Rows:
        return Rows(self._connection, self._connection.execute(statement, values))

    def executemany(self, statement: str, values: Any) -> Rows:
        return Rows(self._connection, self._connection.executemany(statement, values))

    def close(self) -> None:
        self._connection.close()


def image(notes: Sequence[Noted], rng: random.Random) -> dict[str, bytes]:
    """The files as a power cut after the last of `notes` may leave them."""
    synced = {one.file: place for place, one in enumerate(notes) if one.kind == "sync"}
    files: dict[str, bytearray] = {}
    for place, one in enumerate(notes):
        content = files.setdefault(one.file, bytearray())
        # A file is removed for good once its folder was synchronised.
        settled = one.offset > 0 if one.kind == "delete" else place < synced.get(one.file, -1)
        fate = "kept" if settled else rng.choice(("kept", "lost", "torn"))
        if one.kind == "write" and fate != "lost":
            for start in range(0, len(one.data), SECTOR):
                if fate == "kept" or rng.random() < 0.5:
                    _put(content, one.offset + start, one.data[start : start + SECTOR])
        elif one.kind == "truncate" and fate == "kept":
            del content[one.offset :]
        elif one.kind == "delete" and fate == "kept":
            del files[one.file]
    return {name: bytes(content) for name, content in files.items()}


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Recording(NamedTuple):
    """What was written, and what had been acknowledged when."""

    name: str
    notes: list[Noted]
    acknowledged: list[tuple[int, str]]
    """After how many notes; what."""


def record(folder: Path, disk: Disk, write: Callable[[Connection, Callable[[str], None]], None]) -> Recording:
    """Run `write` on a noting disk."""
    acknowledged: list[tuple[int, str]] = []
    connection = Connection(folder / "data.db", disk)
    try:
        write(connection, lambda what: acknowledged.append((len(disk.notes), what)))
    finally:
        connection.close()
        disk.unregister()
    return Recording("data.db", disk.notes, acknowledged)


def cuts(recording: Recording, folder: Path, count: int) -> Iterator[tuple[Path, set[str]]]:
    """After each of `count` power cuts: the file, and what had been acknowledged."""
    rng = random.Random(len(recording.notes) + count)
    for number in range(count):
        moment = rng.randrange(1, len(recording.notes) + 1)
        after = folder / f"cut{number}"
        after.mkdir()
        for name, content in image(recording.notes[:moment], rng).items():
            (after / name).write_bytes(content)
        yield after / recording.name, {what for place, what in recording.acknowledged if place <= moment}


def write_journal(connection: Connection, acknowledge: Callable[[str], None]) -> None:
    """Runs of three appends each, several in a commit; the log is folded into the file now and then."""
    path = Path("data.db")
    _prepare(path, connection, busy_timeout_s=1)  # type: ignore[arg-type]
    connection.execute("PRAGMA wal_autocheckpoint = 40")
    journal = JournalFile(path, connection)  # type: ignore[arg-type]
    rng = random.Random(1)
    heads: dict[str, int] = {}
    for _ in range(150):
        appends, names = [], []
        for run_id in {f"run{rng.randrange(60)}" for _ in range(rng.randrange(1, 5))}:
            head = heads.get(run_id, 0)
            run = a_run(run_id, text=run_id * rng.randrange(1, 80))[head : head + 2]
            if run:
                rows = [("w", _encoded(event)) for event in run]
                appends.append(Append(run_id, head, session_of(run), rows))
                heads[run_id] = head + len(run)
                names.append(f"{run_id} {heads[run_id]}")
        assert all(isinstance(outcome, int) for outcome in journal.commit(appends))
        for name in names:
            acknowledge(name)


def _encoded(event: Any) -> bytes:
    from agent_core import codec

    return codec.encode(event)


async def check_journal(path: Path, acknowledged: set[str]) -> None:
    if not acknowledged and not path.exists():
        return
    async with await SqliteJournal.open(path) as journal:
        check = await journal.check()
        assert [p for p in check.problems if "does not replay" not in p] == []
        heads = {head.run_id: head.last.seq async for head in journal.heads(limit=1_000)}
    for name in acknowledged:
        run_id, seq = name.split()
        assert heads.get(run_id, 0) >= int(seq), "acknowledged and lost"


def write_memory(connection: Connection, acknowledge: Callable[[str], None]) -> None:
    """Episodes, each acknowledged; the log is folded into the file now and then."""
    path = Path("data.db")
    prepare_store(path, connection, SCHEMA, 1)  # type: ignore[arg-type]
    connection.execute("PRAGMA wal_autocheckpoint = 60")
    store = SqliteStore(path, SCHEMA, [connection] * 3)  # type: ignore[list-item]
    analyzer = Analyzer()
    rng = random.Random(2)
    for number in range(150):
        new = episodes.NewEpisode(
            text=f"number {number} " + " ".join(f"w{rng.randrange(500)}" for _ in range(rng.randrange(60))),
            session_id=f"s{number % 3}",
            speaker="Ana",
            said_at=0.0,
            recorded_at=0.0,
        )
        (outcome,) = store._commit([lambda db, new=new: episodes.insert(db, analyzer, new)])
        assert isinstance(outcome, int), outcome
        acknowledge(f"episode {number}")
        # One statement is not in a transaction that we begin.
        assert store._commit([Statement(entries.PUT, ("last", str(number).encode(), 0.0))]) == [None]
        acknowledge(f"value {number}")


async def check_memory(path: Path, acknowledged: set[str]) -> None:
    if not acknowledged and not path.exists():
        return
    store = await SqliteStore.open(path, SCHEMA)
    try:
        await store.change(
            lambda db: db.execute("INSERT INTO episode_terms (episode_terms) VALUES ('integrity-check')")
        )
        assert await store.read(lambda db: db.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
        rows = await store.read(lambda db: db.execute("SELECT text FROM episodes ORDER BY id").fetchall())
        values = await store.read(entries.select, "last")
    finally:
        await store.close()
    numbers = [int(text.split()[1]) for (text,) in rows]
    assert numbers == list(range(len(numbers))), "what is lost is at the end"
    told = [
        [int(one.split()[1]) for one in acknowledged if one.startswith(kind)] for kind in ("episode", "value")
    ]
    assert len(numbers) >= len(told[0]), "acknowledged and lost"
    assert not told[1] or int(str(values["last"])) >= max(told[1]), "acknowledged and lost"


KINDS = {"journal": (write_journal, check_journal), "memory": (write_memory, check_memory)}


async def cut_and_check(kind: str, folder: Path, count: int) -> None:
    write, check = KINDS[kind]
    (folder / "before").mkdir()
    recording = record(folder / "before", Disk(f"noting-{kind}-{count}"), write)
    assert {one.kind for one in recording.notes} >= {"write", "sync"}
    assert {one.file for one in recording.notes} >= {"data.db", "data.db-wal"}
    for path, acknowledged in cuts(recording, folder, count):
        await check(path, acknowledged)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_acknowledged_survives_a_power_cut(kind: str, tmp_path: Path) -> None:
    await cut_and_check(kind, tmp_path, 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_acknowledged_survives_500_power_cuts(kind: str, tmp_path: Path) -> None:
    await cut_and_check(kind, tmp_path, 500)


async def test_the_cuts_are_cruel_enough(tmp_path: Path) -> None:
    """A journal that does not wait for the disk loses what it acknowledged: so this test would see it."""

    def hasty(connection: Connection, acknowledge: Callable[[str], None]) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE t (x)")
        for number in range(100):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
            acknowledge(str(number))

    (tmp_path / "before").mkdir()
    recording = record(tmp_path / "before", Disk("noting-hasty"), hasty)
    lost = 0
    for path, acknowledged in cuts(recording, tmp_path, 20):
        db = sqlite.connect(path, busy_timeout_s=1)
        try:
            (count,) = db.execute("SELECT count(*) FROM t").fetchone()
        except sqlite3.Error:
            count = 0
        db.close()
        lost += count < len(acknowledged)
    assert lost > 5
