"""The small SQLite files of the daemon's access: readable by its owner alone, written ahead, with little of them in memory."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from agent_api.errors import AccessUnavailableError, SettingsError
from agent_memory import sqlite

CACHE_KIB = 256
"""Pages that a connection keeps. SQLite's own 2 MB each fill as the files grow, and few of those pages are asked for again."""


def open_private(
    path: Path,
    schema: Sequence[str],
    *,
    what: str,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    secure_delete: bool = False,
) -> sqlite3.Connection:
    """Open the file, or create it; its folder is there.

    Args:
        path: The file.
        schema: Statements that make its tables where they are missing.
        what: What it holds, for the error's words: `the keys`.
        synchronous: `FULL`: what was written is there after a power cut; `NORMAL`: but for the last second.
        secure_delete: Overwrite what is deleted.

    Raises:
        SettingsError: it cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        if secure_delete:
            connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        for statement in schema:
            connection.execute(statement)
    except sqlite3.Error as error:
        raise SettingsError(f"{what} in {path} cannot be opened: {error}") from error
    return connection


@contextmanager
def writing(what: str, path: Path) -> Generator[None]:
    """For the statements that write to such a file: `what` says what, for the error's words.

    Raises:
        AccessUnavailableError: they cannot be written; whole or not at all.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise AccessUnavailableError(what, str(path), sqlite.reason(error)) from error
