"""Opens SQLite files that keep what they acknowledged, and says in words why one failed. Knows no tables.

SQLite facts are from its documentation (https://www.sqlite.org/wal.html, https://www.sqlite.org/rescode.html,
read 2026-11).
"""

import contextlib
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and go on",
    # A full disk shows as an I/O error too: the write-ahead log's index cannot grow.
    sqlite3.SQLITE_IOERR: "the disk failed or is full",
    sqlite3.SQLITE_READONLY: "it may not be written; check its owner, its mode and its file system",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check its folder and permissions",
    sqlite3.SQLITE_PERM: "it may not be opened; check its owner and its mode",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup or move it away",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; name another or move it away",
    sqlite3.SQLITE_BUSY: "another process keeps it locked; end that one or wait",
    sqlite3.SQLITE_LOCKED: "another connection keeps it locked",
}
CACHE_KIB = 2_000
"""SQLite's own choice."""
_BUSY_PAUSE_S = 0.005
_PRIMARY_CODE = 0xFF
"""Extended result codes hold the primary code in their low byte."""


def connect(path: Path, *, busy_timeout_s: float, cache_kib: int = CACHE_KIB) -> sqlite3.Connection:
    """Open the file at `path`; transactions are the caller's. Any thread may use the connection, one at a time.

    Args:
        path: The file.
        busy_timeout_s: How long a transaction waits for other connections.
        cache_kib: How many KiB of its pages are kept. They fill as the file grows, whether anybody asks for them or not.

    Raises:
        sqlite3.Error: the file cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def make_durable(connection: sqlite3.Connection, *, busy_timeout_s: float) -> None:
    """From now on a commit is on the disk when it returns, and readers do not wait for writers.

    Raises:
        sqlite3.Error: no database, damaged, not writable, locked, or on a file system without shared memory.
    """
    # The switch of a new file leaves a rollback journal's removal behind. EXTRA has the folder synchronised, else that
    # journal could come back with a power cut, and its rollback would undo the switch and all that was logged since.
    connection.execute("PRAGMA synchronous=EXTRA")
    mode = _write_ahead(connection, busy_timeout_s)
    if mode != "wal":
        raise sqlite3.OperationalError(f"its file system allows no write-ahead log (journal mode {mode})")
    # NORMAL would forget the last acknowledged commits in a power cut.
    connection.execute("PRAGMA synchronous=FULL")


def _write_ahead(connection: sqlite3.Connection, busy_timeout_s: float) -> str:
    """Switch to the write-ahead log; the mode that the file then has.

    A new file is switched by whoever is first. The others are told at once that it is locked, for SQLite does not wait
    here: so this does.
    """
    patience = time.monotonic() + busy_timeout_s
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= patience:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return str(mode)


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone: `parents=True` would open those to all.

    Raises:
        OSError: one cannot be made.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def create_private(path: Path) -> None:
    """Create the file (mode 0600) and the folders above it (mode 0700) that are missing; leave the others alone.

    SQLite gives its `-wal` and `-shm` files the mode of the database.

    Raises:
        OSError: a folder or the file cannot be created.
    """
    make_private_folder(path.parent)
    if not path.exists():
        path.touch(mode=0o600)


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Generator[None]:
    """A read transaction: all questions within it see one state of the file.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """A write transaction: waits its turn, commits at the end, and leaves nothing behind if anything fails.

    Raises:
        sqlite3.Error: the storage failed, or another process kept the lock; nothing was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some failures SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def reason(error: sqlite3.Error | OSError) -> str:
    """Why the file cannot be used, in words; ends with SQLite's or the system's own text."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}; check its folder and permissions"
    # Errors that Python's module raises itself carry no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    words = _REASONS.get(code & _PRIMARY_CODE, "SQLite refused")
    return f"{words} ({error})"
