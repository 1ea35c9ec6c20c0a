"""The journal's tables and their SQL. Blocking, for one thread; `journal` gives it threads and the event loop's words.

The head of a run is read inside the write transaction: whoever else appends to the file, exactly one wins.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent_core import codec
from agent_core.errors import JournalConflictError, JournalError, JournalUnavailableError
from agent_core.events import Event, RunStarted
from agent_core.ports import RunHead, StoredEvent
from agent_memory import sqlite
from agent_memory.errors import JournalVersionError

SCHEMA_VERSION = 2
"""Kept in `PRAGMA user_version`; raised when an older agent-memory could misread the file, or would not erase all."""

_SNAPSHOTS = (
    """CREATE TABLE snapshots (
        run_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
"""Since version 2."""
_SCHEMA = (
    """CREATE TABLE runs (
        position INTEGER PRIMARY KEY, -- the order in which runs were created
        run_id TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL,
        last_seq INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX runs_by_session ON runs (session_id, position)",
    # With a row id, not WITHOUT ROWID: concurrent runs then write to the same few pages, and a large body does not
    # spread over the index. Measured at 64 runs at once: a quarter more commits, 6 % more bytes.
    """CREATE TABLE events (
        run_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        writer TEXT NOT NULL,
        body BLOB NOT NULL, -- as agent_core.codec writes it
        PRIMARY KEY (run_id, seq)
    ) STRICT""",
    *_SNAPSHOTS,
)
_HEAD = "SELECT last_seq FROM runs WHERE run_id = ?"
_INSERT_EVENT = "INSERT INTO events (run_id, seq, writer, body) VALUES (?, ?, ?, ?)"
_RAISE_HEAD = """INSERT INTO runs (run_id, session_id, last_seq) VALUES (?, ?, ?)
    ON CONFLICT (run_id) DO UPDATE SET last_seq = excluded.last_seq"""
_READ = "SELECT seq, writer, body FROM events WHERE run_id = ? AND seq > ? ORDER BY seq"
_READ_FIRST = "SELECT writer, body FROM events WHERE run_id = ? AND seq <= ? ORDER BY seq"
_HEADS = """SELECT r.position, r.run_id, r.session_id, r.last_seq, f.writer, f.body, l.writer, l.body
    FROM (SELECT * FROM runs WHERE position < :before{session} ORDER BY position DESC LIMIT :limit) AS r
    JOIN events AS f ON f.run_id = r.run_id AND f.seq = 1
    JOIN events AS l ON l.run_id = r.run_id AND l.seq = r.last_seq
    ORDER BY r.position DESC"""
_HEADS_OF_ALL = _HEADS.format(session="")
_HEADS_OF_SESSION = _HEADS.format(session=" AND session_id = :session_id")

_CACHE_KIB = 512
"""Appends touch the newest pages alone, and what is read is seldom read again."""
_PAGE_BYTES = 1 << 20
"""A read takes about this much at a time, so a long run never fills the memory."""


class Append(NamedTuple):
    """One batch of events for one run: written whole or not at all."""

    run_id: str
    expected_seq: int
    session_id: str
    """Of the run; matters only where the run is new."""
    rows: Sequence[tuple[str, bytes]]
    """Writer and encoded event."""


class JournalFile:
    """One connection to a journal. Every method may raise `sqlite3.Error` but where it says otherwise."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, busy_timeout_s: float) -> "JournalFile":
        """Open the file for reading and writing; create it where it is missing.

        Raises:
            JournalVersionError: a newer agent-memory wrote it.
            JournalUnavailableError: it cannot be used; the message says why.
        """
        try:
            sqlite.create_private(path)
            connection = sqlite.connect(path, busy_timeout_s=busy_timeout_s, cache_kib=_CACHE_KIB)
            try:
                _prepare(path, connection, busy_timeout_s=busy_timeout_s)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise JournalUnavailableError(str(path), sqlite.reason(error)) from error
        return cls(path, connection)

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        return self._connection

    def close(self) -> None:
        """Close the connection; the last one of a file folds the write-ahead log into it."""
        self._connection.close()

    def commit(self, appends: Sequence[Append]) -> Sequence[int | JournalError]:
        """Write the appends in one transaction and wait for the disk. Never raises `sqlite3.Error`.

        Returns for each, in order: the number of its last event; a `JournalConflictError` where its run was
        elsewhere, which does not hinder the others; or, for all of them, a `JournalUnavailableError`.
        """
        try:
            with sqlite.transaction(self._connection):
                return self._write(appends)
        except sqlite3.Error as error:
            # One each: an exception that several tasks raise would collect all their tracebacks.
            where, reason = str(self._path), sqlite.reason(error)
            return [JournalUnavailableError(where, reason) for _ in appends]

    def _write(self, appends: Sequence[Append]) -> Sequence[int | JournalError]:
        outcomes: list[int | JournalError] = []
        heads: dict[str, int] = {}
        events: list[tuple[str, int, str, bytes]] = []
        raised: list[tuple[str, str, int]] = []
        for run_id, expected_seq, session_id, rows in appends:
            head = heads[run_id] if run_id in heads else self._head(run_id)
            if head != expected_seq:
                outcomes.append(JournalConflictError(run_id, expected_seq, head))
                continue
            events += [(run_id, seq, *row) for seq, row in enumerate(rows, start=head + 1)]
            heads[run_id] = head + len(rows)
            if rows:
                raised.append((run_id, session_id, heads[run_id]))
            outcomes.append(heads[run_id])
        self._connection.executemany(_INSERT_EVENT, events)
        self._connection.executemany(_RAISE_HEAD, raised)
        return outcomes

    def _head(self, run_id: str) -> int:
        row = self._connection.execute(_HEAD, (run_id,)).fetchone()
        return row[0] if row else 0

    def read(self, run_id: str, after: int) -> tuple[list[StoredEvent], bool]:
        """The next events of a run behind number `after`, and whether there may be more."""
        page: list[StoredEvent] = []
        size = 0
        cursor = self._connection.execute(_READ, (run_id, after))
        try:
            for seq, writer, body in cursor:
                page.append(_stored(run_id, seq, writer, body))
                size += len(body)
                if size >= _PAGE_BYTES:
                    return page, True
        finally:
            cursor.close()  # a cursor left open would hold the write-ahead log back
        return page, False

    def read_first(self, run_id: str, count: int) -> list[tuple[str, bytes]]:
        """Writer and encoded event of the first `count` events of a run."""
        return self._connection.execute(_READ_FIRST, (run_id, count)).fetchall()

    def heads(self, session_id: str | None, before: int, limit: int) -> list[tuple[int, RunHead]]:
        """The newest runs whose position is under `before`, each with its position."""
        query = _HEADS_OF_ALL if session_id is None else _HEADS_OF_SESSION
        parameters = {"before": before, "limit": limit, "session_id": session_id}
        return [_placed_head(row) for row in self._connection.execute(query, parameters)]


def session_of(events: Sequence[Event]) -> str:
    """The session that the first of `events` names, or the empty string."""
    first = events[0] if events else None
    return first.session_id if isinstance(first, RunStarted) else ""


def _prepare(path: Path, connection: sqlite3.Connection, *, busy_timeout_s: float) -> None:
    """Make the file durable and create its tables; one that is newer or somebody else's is refused untouched."""
    with sqlite.snapshot(connection):  # or another process makes the tables between the two questions
        ready = _is_ready(path, connection)
    sqlite.make_durable(connection, busy_timeout_s=busy_timeout_s)
    connection.execute("PRAGMA secure_delete = ON")  # what retention removes is overwritten
    if ready:
        return
    with sqlite.transaction(connection):
        if not _is_ready(path, connection):  # another process may just have been faster
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for statement in _SNAPSHOTS if version else _SCHEMA:
                connection.execute(statement)


def _is_ready(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether the tables are there and of this version; False for an empty file and for an older version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if version > SCHEMA_VERSION:
        raise JournalVersionError(str(path), version, SCHEMA_VERSION)
    if tables and not (version >= 1 and {"runs", "events"} <= tables):
        raise JournalUnavailableError(str(path), "it is a SQLite database of something else; name another")
    return int(version) == SCHEMA_VERSION


def _stored(run_id: str, seq: int, writer: str, body: bytes) -> StoredEvent:
    return StoredEvent(run_id=run_id, seq=seq, event=codec.decode(body), writer=writer)


def _placed_head(row: tuple[int, str, str, int, str, bytes, str, bytes]) -> tuple[int, RunHead]:
    position, run_id, session_id, last_seq, first_writer, first_body, last_writer, last_body = row
    first = _stored(run_id, 1, first_writer, first_body)
    last = first if last_seq == 1 else _stored(run_id, last_seq, last_writer, last_body)
    return position, RunHead(run_id=run_id, session_id=session_id, first=first, last=last)
