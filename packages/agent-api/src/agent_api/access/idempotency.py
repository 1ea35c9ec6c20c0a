"""Idempotency keys (IETF draft `Idempotency-Key`): a POST that is sent again does nothing again, and gets the reply of before.

Kept a day, by the API key and the name that the client chose. Of two at once the second is told to wait. A reply that is a
stream, or a fault of ours, is not kept: it may be asked for again.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import msgspec

from agent_api.access.private_file import open_private
from agent_api.errors import IdempotencyError, SettingsError
from agent_core.errors import JournalUnavailableError

KEEP_S = 86_400.0
MAX_NAME_CHARS = 255
MAX_KEPT_BYTES = 1_000_000
HEADER = b"idempotency-key"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    request BLOB NOT NULL,
    at REAL NOT NULL,
    reply BLOB NOT NULL,
    PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID
"""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Replies:
    """What was replied to whom."""

    def __init__(self, folder: Path) -> None:
        """Open or create `replies.db` in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "replies.db"
        self._connection = self._open()
        self._under_way: set[tuple[str, str]] = set()

    def _open(self) -> sqlite3.Connection:
        return open_private(self._path, (_SCHEMA,), what="the replies", secure_delete=True)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def begin(self, key_id: str, name: str, *, path: str, body: bytes, now: float) -> Reply | None:
        """The reply of before; None: there is none, and this request is under way until `end`.

        Raises:
            IdempotencyError: the name was used for another request, is too long, or the first is still under way.
        """
        if len(name) > MAX_NAME_CHARS:
            raise IdempotencyError(f"has more than {MAX_NAME_CHARS} characters")
        if (key_id, name) in self._under_way:
            raise IdempotencyError("is that of a request that is still under way; wait for its reply")
        query = "SELECT request, reply FROM replies WHERE key_id = ? AND name = ? AND at > ?"
        with closing(self._connection.execute(query, (key_id, name, now - KEEP_S))) as rows:
            found = rows.fetchone()
        if found is not None and found[0] != _digest(path, body):
            raise IdempotencyError("was used for another request; choose a new one")
        if found is not None:
            return msgspec.msgpack.decode(found[1], type=Reply)
        self._under_way.add((key_id, name))
        return None

    def end(self, key_id: str, name: str, *, path: str, body: bytes, now: float, reply: Reply | None) -> None:
        """The request is over; keep its reply, if it is one to keep."""
        self._under_way.discard((key_id, name))
        if reply is None or reply.status >= 500 or len(reply.body) > MAX_KEPT_BYTES:
            return
        self._connection.execute("DELETE FROM replies WHERE at <= ?", (now - KEEP_S,))
        self._connection.execute(
            "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)",
            (key_id, name, _digest(path, body), now, msgspec.msgpack.encode(reply)),
        )

    def forget(self, names: Sequence[str]) -> None:
        """Erase every reply in which one of these names stands, and what is left of it in the write-ahead log.

        May run in another thread: it has a connection of its own. The log of one that is in use cannot be emptied.

        Raises:
            JournalUnavailableError: the storage failed, or others read the file all the time; ask again.
        """
        try:
            with closing(self._open()) as connection:
                connection.executemany(
                    "DELETE FROM replies WHERE instr(reply, CAST(? AS BLOB)) > 0", [(name,) for name in names]
                )
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (sqlite3.Error, SettingsError) as error:
            raise JournalUnavailableError(str(self._path), str(error)) from error
        if busy:
            raise JournalUnavailableError(str(self._path), "another process is reading it")


def _digest(path: str, body: bytes) -> bytes:
    return blake2b(path.encode() + b"\n" + body, digest_size=32).digest()
