"""The audit log: who did what, when, from where. Append-only and chained, so that a changed or missing line is found.

Each entry holds a keyed hash of itself and of the entry before it. Entries are written by one thread, several at a time, and
are on disk within `FLUSH_S`; what a crash takes is at most what came in that time.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from agent_api.access.private_file import open_private
from agent_api.errors import RateLimitedError

FLUSH_S = 0.2
MAX_PENDING = 10_000
"""Entries that may wait to be written; over that the daemon refuses to go on unwatched."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    entry TEXT NOT NULL,
    chain BLOB NOT NULL
) STRICT
"""


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One thing that was done, or was refused."""

    at: float
    """Seconds since the epoch."""
    tenant: str
    key_id: str
    """Empty: no valid key came along."""
    action: str
    """The method and the route, such as `POST /api/v1/runs`; never what was in the request."""
    target: str = ""
    """The path that was asked for, where it names more than the route does."""
    status: int = 0
    client: str = ""
    """The address that it came from; empty on a unix socket."""
    request_id: str = ""


class AuditLog:
    """The log of one daemon."""

    def __init__(self, folder: Path, *, secret: bytes) -> None:
        """Open or create `audit.db` in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "audit.db"
        self._secret = secret
        self._pending: list[Entry] = []
        self._connection = open_private(self._path, (_SCHEMA,), what="the audit log")

    def check(self) -> None:
        """Whether there is room: nothing should be done unwatched.

        Raises:
            RateLimitedError: so many entries wait to be written that nothing more may be done.
        """
        if len(self._pending) >= MAX_PENDING:
            raise RateLimitedError("entries in the audit log, which cannot be written", 5.0)

    def note(self, entry: Entry) -> None:
        """Write an entry soon. Costs the caller an append to a list."""
        self._pending.append(entry)

    async def keep(self) -> None:
        """Write what is noted, until cancelled; then write the rest."""
        try:
            while True:
                await anyio.sleep(FLUSH_S)
                await self._flush()
        finally:
            with anyio.CancelScope(shield=True):
                await self._flush()

    async def _flush(self) -> None:
        if not self._pending:
            return
        entries, self._pending = self._pending, []
        try:
            await anyio.to_thread.run_sync(self._write, entries)
        except (
            sqlite3.Error
        ):  # a full disk: they wait for the next time, and `check` stops what is not watched
            self._pending = entries + self._pending

    def _write(self, entries: Sequence[Entry]) -> None:
        db = self._connection
        db.execute("BEGIN IMMEDIATE")
        try:
            last = db.execute("SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
            number, chain = (0, b"") if last is None else last
            for entry in entries:
                number += 1
                text = msgspec.json.encode(entry)
                chain = self._chained(number, chain, text)
                db.execute(
                    "INSERT INTO audit VALUES (?, ?, ?, ?)", (number, entry.tenant, text.decode(), chain)
                )
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def entries(self, *, tenant: str | None, after: int = 0, limit: int = 100) -> Iterator[tuple[int, Entry]]:
        """Entries behind number `after`, the oldest first; of one tenant if given."""
        query = "SELECT number, entry FROM audit WHERE number > ? AND (? IS NULL OR tenant = ?) ORDER BY number LIMIT ?"
        with closing(self._connection.execute(query, (after, tenant, tenant, limit))) as rows:
            for number, text in rows:
                yield number, msgspec.json.decode(text, type=Entry)

    def verify(self) -> int | None:
        """The number of the first entry that was changed, or whose neighbour is missing; None: all are as written."""
        chain, expected = b"", 1
        with closing(
            self._connection.execute("SELECT number, entry, chain FROM audit ORDER BY number")
        ) as rows:
            for number, text, kept in rows:
                chain = self._chained(number, chain, text.encode())
                if number != expected or chain != kept:
                    return expected
                expected += 1
        return None

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def _chained(self, number: int, before: bytes, text: bytes) -> bytes:
        return blake2b(b"%d:" % number + before + text, key=self._secret, digest_size=32).digest()
