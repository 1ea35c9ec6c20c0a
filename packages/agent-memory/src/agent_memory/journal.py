"""The durable journal: a SQLite file that several processes may share. Owns the threads; `journal_file` has the SQL.

An append is on the disk when it returns (write-ahead log, `synchronous=FULL`), and appends that arrive together share
one commit. Writing and reading have a thread and a connection each, so neither waits for the other and the event
loop waits for nobody.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from agent_core import codec
from agent_core.errors import JournalUnavailableError, RunNotFoundError
from agent_core.events import Event
from agent_core.ports import RunHead, StoredEvent
from agent_memory import journal_upkeep, sqlite
from agent_memory.group_commit import GroupCommit
from agent_memory.journal_file import Append, JournalFile, session_of
from agent_memory.journal_upkeep import JournalCheck
from agent_memory.serial_thread import SerialThread

P = ParamSpec("P")
T = TypeVar("T")

_HEADS_A_PAGE = 100
_BEHIND_ALL = (1 << 63) - 1
"""The largest number that SQLite holds."""


class SqliteJournal:
    """The journal port on one SQLite file, and that of snapshots. Use it in the event loop (asyncio) that opened it, and close it.

    `async with await SqliteJournal.open("runs.db") as journal: ...`
    """

    def __init__(self, path: Path, writer: JournalFile, reader: JournalFile) -> None:
        """`open` is the way to make one."""
        self.path = path
        self._writer = writer
        self._reader = reader
        self._writer_thread = SerialThread("journal-writer")
        self._reader_thread = SerialThread("journal-reader")
        self._commits = GroupCommit[Append, int](self._writer_thread, writer.commit)
        self._closed = False

    @classmethod
    async def open(cls, path: str | Path, *, busy_timeout_s: float = 5.0) -> "SqliteJournal":
        """Open the journal at `path`; a missing file is created (mode 0600), as are missing folders (0700).

        `busy_timeout_s`: how long an append waits for other processes that write to the same file.

        Raises:
            JournalVersionError: a newer agent-memory wrote the file.
            JournalUnavailableError: it cannot be opened or written, is damaged, locked or no journal.
        """
        path = Path(path)
        writer = await asyncio.to_thread(JournalFile.open, path, busy_timeout_s=busy_timeout_s)
        try:
            reader = await asyncio.to_thread(JournalFile.open, path, busy_timeout_s=busy_timeout_s)
        except BaseException:
            writer.close()
            raise
        return cls(path, writer, reader)

    async def close(self) -> None:
        """Commit what is under way and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._commits.drained()
            await self._reader_thread.run(self._reader.close)
            await self._writer_thread.run(self._writer.close)
        finally:
            self._reader_thread.close()
            self._writer_thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(self, run_id: str, expected_seq: int, events: Sequence[Event], *, writer: str) -> int:
        """Append `events` behind event number `expected_seq` (0: a new run); returns the number of the last.

        They are on the disk when this returns. If it is cancelled, they are there all or none.

        Raises:
            JournalConflictError: the run's head is another; nothing was written.
            JournalUnavailableError: the storage failed; nothing was written, and it can be tried again.
        """
        (run_id + writer).encode()  # what is no UTF-8 fails here, alone, and not in a shared commit
        rows = [(writer, codec.encode(event)) for event in events]
        return await self._append(Append(run_id, expected_seq, session_of(events), rows))

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events of a run behind number `after`, in order. An unknown run has none.

        Raises:
            JournalUnavailableError: the file cannot be read.
            CodecError: an event that this agent-core does not know.
        """
        more = True
        while more:
            page, more = await self._read(self._reader.read, run_id, after)
            for stored in page:
                yield stored
                after = stored.seq

    async def heads(self, *, session_id: str | None = None, limit: int = 100) -> AsyncIterator[RunHead]:
        """The newest runs first, by their first event; of one session if given.

        Raises:
            JournalUnavailableError: the file cannot be read.
            CodecError: an event that this agent-core does not know.
        """
        before, left = _BEHIND_ALL, limit
        while left > 0:
            size = min(left, _HEADS_A_PAGE)
            page = await self._read(self._reader.heads, session_id, before, size)
            for position, head in page:
                yield head
                before = position
            left = left - size if len(page) == size else 0

    async def fork(self, run_id: str, at_seq: int, new_run_id: str) -> None:
        """Copy the first `at_seq` events of a run, with their writers, to a new run.

        Raises:
            RunNotFoundError: the run has no event of that number.
            JournalConflictError: the new run exists already.
            JournalUnavailableError: the storage failed; nothing was written.
        """
        # Two steps are as good as one: what was read never changes, and the append expects a new run.
        rows = await self._read(self._reader.read_first, run_id, at_seq)
        if at_seq < 1 or len(rows) != at_seq:
            raise RunNotFoundError(run_id)
        session_id = session_of([codec.decode(rows[0][1])])
        await self._append(Append(new_run_id, 0, session_id, rows))

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def save_snapshot(self, run_id: str, seq: int, body: bytes) -> None:
        """Keep the encoded state after event `seq`, so that a resume reads only what came later; a cache, no more.

        Raises:
            JournalUnavailableError: the storage failed.
        """
        await self._change(journal_upkeep.save_snapshot, run_id, seq, body)

    async def load_snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        """The newest snapshot of a run: the number of its event, and the state after it. None: there is none.

        Raises:
            JournalUnavailableError: the file cannot be read.
        """
        return await self._read(journal_upkeep.load_snapshot, self._reader.connection, run_id)

    async def check(self) -> JournalCheck:
        """Look at every page and every event; takes as long as reading the file.

        Raises:
            JournalUnavailableError: the file cannot be read at all.
        """
        return await self._read(journal_upkeep.check, self._reader.connection)

    async def prune(self, *, before: float) -> int:
        """Remove the runs that were over before this time (seconds since the epoch); returns how many.

        A run that is under way or waits for somebody is never removed, however old it is.

        Raises:
            JournalUnavailableError: the storage failed; what was removed until then is gone.
            CodecError: an event that this agent-core does not know.
        """
        removed = after = 0
        while True:
            over, after = await self._read(
                journal_upkeep.over_before, self._reader.connection, before, after, _HEADS_A_PAGE
            )
            if over:
                removed += await self._change(journal_upkeep.delete, over)
            if not after:
                return removed

    async def forget(self, *, session_id: str | None = None, run_ids: Sequence[str] = ()) -> int:
        """Erase runs for good, whatever their phase: all of a session, and those named. Returns how many.

        The file is written anew, so that none of their bytes stay in it.

        Raises:
            JournalUnavailableError: the storage failed, or another process is reading the file; ask again.
        """
        wanted = list(run_ids)
        if session_id is not None:
            wanted += await self._read(journal_upkeep.of_session, self._reader.connection, session_id)
        removed = await self._change(journal_upkeep.delete, wanted)
        await self._in_writer(journal_upkeep.scrub, self._writer.connection)
        return removed

    async def _change(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def make() -> T:
            with sqlite.transaction(self._writer.connection):
                return change(self._writer.connection, *args, **kwargs)

        return await self._in_writer(make)

    async def _in_writer(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        try:
            return await self._writer_thread.run(call, *args, **kwargs)
        except sqlite3.Error as error:
            raise JournalUnavailableError(str(self.path), sqlite.reason(error)) from error

    async def _append(self, append: Append) -> int:
        self._check_open()
        return await self._commits.submit(append)

    async def _read(self, query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        try:
            return await self._reader_thread.run(query, *args, **kwargs)
        except sqlite3.Error as error:
            raise JournalUnavailableError(str(self.path), sqlite.reason(error)) from error

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailableError(str(self.path), "it is closed")
