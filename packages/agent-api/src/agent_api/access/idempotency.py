"""Idempotency keys (IETF draft `Idempotency-Key`): a POST that is sent again does nothing again, and gets the reply of before.

Kept a day, by the API key and the name that the client chose. The name is written down before anything is begun, together with
the stem of the ids of what is begun (see `attempt`). A daemon that was killed in between finds under them what it had begun.
Of two at once the second is told to wait. What was refused before anything was begun may be asked for anew, even otherwise.
"""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import msgspec

from agent_api.access.attempt import Attempt
from agent_api.access.private_file import open_private, writing
from agent_api.errors import IdempotencyError, IdempotencyReusedError, InvalidRequestError, SettingsError
from agent_core.errors import JournalUnavailableError
from agent_core.system import SystemIds

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
    reply BLOB NOT NULL, -- empty: there is none yet
    stem TEXT NOT NULL DEFAULT '', -- of the ids of what was begun
    PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID
"""
_NONE_YET = b""

logger = logging.getLogger("agentd")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What carries an idempotency key."""

    key_id: str
    name: str
    """The idempotency key itself."""
    digest: bytes
    """Of what is asked."""


def request_of(key_id: str, name: str, path: str, body: bytes) -> Request:
    """A request for `path` with this body."""
    digest = blake2b(path.encode() + b"\n" + body, digest_size=32).digest()
    return Request(key_id=key_id, name=name, digest=digest)


class Replies:
    """What was asked by whom, and what was replied."""

    def __init__(self, folder: Path) -> None:
        """Open or create `replies.db` in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "replies.db"
        self._connection = self._open()
        _add_stem(self._connection)
        self._under_way: set[tuple[str, str]] = set()
        self._ids = SystemIds()
        self._writing = Lock()
        """Who empties the log would wait for ever where others write all the time."""

    def _open(self) -> sqlite3.Connection:
        return open_private(self._path, (_SCHEMA,), what="the replies", secure_delete=True)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def begin(self, request: Request, *, now: float) -> Reply | Attempt:
        """The reply of before; or an attempt, and the request is under way until `end`.

        Raises:
            InvalidRequestError: the name is too long.
            IdempotencyReusedError: the name was used for another request.
            IdempotencyError: the first request of this name is still under way.
            AccessUnavailableError: it cannot be written down; nothing may be begun.
        """
        if len(request.name) > MAX_NAME_CHARS:
            why = f"the idempotency key has more than {MAX_NAME_CHARS} characters"
            raise InvalidRequestError(why, param="Idempotency-Key")
        if (request.key_id, request.name) in self._under_way:
            raise IdempotencyError("is that of a request that is still under way; wait for its reply")
        with writing("the idempotency key", self._path):
            begun = self._found(request, now)
            if begun is None:
                begun = Attempt(self._ids.new("").removeprefix("_"))
                row = (request.key_id, request.name, request.digest, now, _NONE_YET, begun.stem)
                with self._writing:
                    self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)
        if isinstance(begun, Attempt):
            self._under_way.add((request.key_id, request.name))
        return begun

    def _found(self, request: Request, now: float) -> Reply | Attempt | None:
        query = "SELECT request, reply, stem FROM replies WHERE key_id = ? AND name = ? AND at > ?"
        with closing(self._connection.execute(query, (request.key_id, request.name, now - KEEP_S))) as rows:
            found = rows.fetchone()
        if found is None:
            return None
        if found[0] != request.digest:
            raise IdempotencyReusedError
        if found[1] != _NONE_YET:
            return msgspec.msgpack.decode(found[1], type=Reply)
        return Attempt(found[2], is_again=True)

    def end(
        self, request: Request, attempt: Attempt, reply: Reply | None, *, is_refused: bool, now: float
    ) -> None:
        """The request is over.

        Args:
            request: The request.
            attempt: What `begin` gave.
            reply: To be given again; None: there is none that could be, so the request is done again, with the ids that it had.
            is_refused: Whether its client was told that it was refused or went wrong. If nothing was begun either, the name is
                free again.
            now: In seconds since the epoch.
        """
        self._under_way.discard((request.key_id, request.name))
        place = (request.key_id, request.name, attempt.stem)
        try:
            with self._writing:
                self._connection.execute("DELETE FROM replies WHERE at <= ?", (now - KEEP_S,))
                if reply is not None and len(reply.body) <= MAX_KEPT_BYTES:
                    query = "UPDATE replies SET reply = ? WHERE key_id = ? AND name = ? AND stem = ?"
                    self._connection.execute(query, (msgspec.msgpack.encode(reply), *place))
                elif is_refused and not attempt.is_used and not attempt.is_again:
                    query = "DELETE FROM replies WHERE key_id = ? AND name = ? AND stem = ?"
                    self._connection.execute(query, place)
        except sqlite3.Error as error:  # it was sent already; who asks again finds what was begun
            logger.warning("a reply for an idempotency key is not kept: %s", error)

    def forget(self, names: Sequence[str]) -> None:
        """Erase every reply in which one of these names stands, and what is left of it in the write-ahead log.

        May run in another thread: it has a connection of its own. The log of one that is in use cannot be emptied.

        Raises:
            JournalUnavailableError: the storage failed, or others read the file all the time; ask again.
        """
        rows = [(name, name.rpartition("_")[2]) for name in names]
        try:
            with closing(self._open()) as connection:
                connection.executemany(
                    "DELETE FROM replies WHERE instr(reply, CAST(? AS BLOB)) > 0 OR stem = ?", rows
                )
                with self._writing:
                    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (sqlite3.Error, SettingsError) as error:
            raise JournalUnavailableError(str(self._path), str(error)) from error
        if busy:
            raise JournalUnavailableError(str(self._path), "another process is reading it")


def _add_stem(db: sqlite3.Connection) -> None:
    """A file of an older version has no such column."""
    if "stem" not in {row[1] for row in db.execute("PRAGMA table_info(replies)")}:
        with suppress(sqlite3.OperationalError):  # of two processes that start at once, one is first
            db.execute("ALTER TABLE replies ADD COLUMN stem TEXT NOT NULL DEFAULT ''")
