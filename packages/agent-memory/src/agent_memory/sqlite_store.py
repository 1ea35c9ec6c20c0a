"""One SQLite file with two threads: changes that share commits, and reads that do not wait for them. Knows no tables.

A change is a function of a connection, made inside a transaction, whole or not at all, and on the disk when it returns
(write-ahead log, `synchronous=FULL`). What is deleted is overwritten (`secure_delete`).
"""

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from agent_memory import sqlite
from agent_memory.errors import MemoryStoreError, MemoryUnavailableError, MemoryVersionError
from agent_memory.group_commit import GroupCommit
from agent_memory.serial_thread import SerialThread

P = ParamSpec("P")
T = TypeVar("T")


class Statement(NamedTuple):
    """A change that is one statement."""

    sql: str
    values: Sequence[object]


Change: TypeAlias = Callable[[sqlite3.Connection], object] | Statement


_REFUSALS = (MemoryStoreError, ValueError, OverflowError)
"""What is wrong with a change, and not with the storage: text that is no UTF-8, a number that is too large."""


class Schema(NamedTuple):
    """What a kind of file is made of."""

    application_id: int
    """Kept in `PRAGMA application_id`: whose file it is."""
    version: int
    """Kept in `PRAGMA user_version`; raised when an older agent-memory could misread the file."""
    statements: Sequence[str]
    full_text: Sequence[str] = ()
    """The names of its FTS5 tables."""
    cache_kib: int = sqlite.CACHE_KIB
    """What each of its three connections keeps in memory."""


class SqliteStore:
    """One open file. Use it in the event loop (asyncio) that opened it, and close it."""

    def __init__(self, path: Path, schema: Schema, connections: Sequence[sqlite3.Connection]) -> None:
        """`open` is the way to make one."""
        self.path = path
        self._schema = schema
        self._writer, self._reader, self._here = connections
        self._writer_thread = SerialThread("memory-writer")
        self._reader_thread = SerialThread("memory-reader")
        self._commits = GroupCommit[Change, object](self._writer_thread, self._commit)
        self._closed = False

    @classmethod
    async def open(cls, path: str | Path, schema: Schema, *, busy_timeout_s: float = 5.0) -> "SqliteStore":
        """Open the file at `path`; a missing file is created (mode 0600), as are missing folders (0700).

        `busy_timeout_s`: how long a change waits for other processes that write to the same file.

        Raises:
            MemoryVersionError: a newer agent-memory wrote the file.
            MemoryUnavailableError: it cannot be opened or written, is damaged, locked or somebody else's.
        """
        path = Path(path)
        opened: list[sqlite3.Connection] = []
        try:
            for _ in range(3):
                opened.append(await asyncio.to_thread(_open, path, schema, busy_timeout_s))  # noqa: PERF401
        except BaseException:
            for db in opened:
                db.close()
            raise
        return cls(path, schema, opened)

    async def close(self) -> None:
        """Finish what is under way and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._commits.drained()
            await self._reader_thread.run(self._reader.close)
            self._here.close()
            await self._writer_thread.run(self._writer.close)
        finally:
            self._reader_thread.close()
            self._writer_thread.close()

    async def change(
        self, make: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a change: `make(connection, ...)`. On the disk when this returns; others may share the commit.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        self._check_open()
        return cast("T", await self._commits.submit(lambda db: make(db, *args, **kwargs)))

    async def write(self, sql: str, *values: object) -> None:
        """Make a change that is one statement, which costs less. On the disk when this returns; others may share the commit.

        Raises:
            MemoryUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        self._check_open()
        await self._commits.submit(Statement(sql, values))

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Ask in the reader's thread: `query(connection, ...)`, which sees one state of the file.

        Raises:
            MemoryUnavailableError: the file cannot be read.
        """
        self._check_open()
        return await self._reader_thread.run(
            self._ask, functools.partial(query, self._reader, *args, **kwargs)
        )

    def read_here(self, statement: str, *values: object) -> tuple[bytes, ...] | None:
        """The first row of blobs of a query that takes microseconds, in this thread: one row by its key.

        Raises:
            MemoryUnavailableError: the file cannot be read.
        """
        try:
            return cast("tuple[bytes, ...] | None", self._here.execute(statement, values).fetchone())
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    async def scrub(self) -> None:
        """Leave nothing of what was deleted: no free page, no entry in an index, no frame in the write-ahead log.

        The file is written anew, so this takes as long as that.

        Raises:
            MemoryUnavailableError: another process reads the file, or the storage failed; try again.
        """
        self._check_open()
        await self._commits.drained()
        try:
            await self._writer_thread.run(self._scrub)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _scrub(self) -> None:
        for table in self._schema.full_text:
            self._writer.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")  # noqa: S608
            self._writer.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608
        self._writer.execute("VACUUM")
        (busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the write-ahead log is still read by another connection")

    def _ask(self, query: Callable[[], T]) -> T:
        try:
            with sqlite.snapshot(self._reader):
                return query()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _commit(self, changes: Sequence[Change]) -> Sequence[object]:
        """All in one transaction: for each its outcome or error; for all the same where the storage fails."""
        try:
            if len(changes) == 1:
                return [self._make_alone(changes[0])]
            with sqlite.transaction(self._writer):
                return [self._make(change) for change in changes]
        except _REFUSALS as error:
            return [error]
        except sqlite3.Error as error:
            reason = sqlite.reason(error)
            return [MemoryUnavailableError(str(self.path), reason) for _ in changes]

    def _make_alone(self, change: Change) -> object:
        if isinstance(change, Statement):  # SQLite gives it a transaction of its own
            return self._perform(change)
        with sqlite.transaction(self._writer):  # it needs no savepoint
            return self._perform(change)

    def _make(self, change: Change) -> object:
        # What a change refuses hinders no other; what the storage refuses ends them all.
        self._writer.execute("SAVEPOINT change")
        try:
            outcome = self._perform(change)
        except _REFUSALS as error:
            self._writer.execute("ROLLBACK TO change")
            outcome = error
        self._writer.execute("RELEASE change")
        return outcome

    def _perform(self, change: Change) -> object:
        if isinstance(change, Statement):
            self._writer.execute(change.sql, change.values)
            return None
        return change(self._writer)

    def _unavailable(self, error: sqlite3.Error) -> MemoryUnavailableError:
        return MemoryUnavailableError(
            str(self.path), "it is closed" if self._closed else sqlite.reason(error)
        )

    def _check_open(self) -> None:
        if self._closed:
            raise MemoryUnavailableError(str(self.path), "it is closed")


def _open(path: Path, schema: Schema, busy_timeout_s: float) -> sqlite3.Connection:
    try:
        sqlite.create_private(path)
        db = sqlite.connect(path, busy_timeout_s=busy_timeout_s, cache_kib=schema.cache_kib)
        try:
            _prepare(path, db, schema, busy_timeout_s)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailableError(str(path), sqlite.reason(error)) from error
    return db


def _prepare(path: Path, db: sqlite3.Connection, schema: Schema, busy_timeout_s: float) -> None:
    with sqlite.snapshot(db):
        ready = _is_ready(path, db, schema)
    sqlite.make_durable(db, busy_timeout_s=busy_timeout_s)
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA foreign_keys = ON")
    if ready:
        return
    with sqlite.transaction(db):
        if not _is_ready(path, db, schema):  # another process may just have been faster
            for statement in schema.statements:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {schema.application_id}")
            db.execute(f"PRAGMA user_version = {schema.version}")


def _is_ready(path: Path, db: sqlite3.Connection, schema: Schema) -> bool:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application_id != schema.application_id:
        raise MemoryUnavailableError(str(path), "it is a SQLite database of something else; name another")
    if version > schema.version:
        raise MemoryVersionError(str(path), version, schema.version)
    return bool(tables)
