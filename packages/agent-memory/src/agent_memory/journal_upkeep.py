"""What keeps a journal sound and small: its check, retention, erasure, snapshots. SQL only, blocking.

Retention removes whole runs that are over; no run ever loses a part of its history.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from agent_core import codec
from agent_core.errors import CodecError
from agent_core.events import Event, ModelFailed, OutcomeStored, RunCancelled, RunFailed
from agent_core.transitions import replay

_ENDS = (OutcomeStored, ModelFailed, RunFailed, RunCancelled)
_MAX_PROBLEMS = 100

_LASTS = """SELECT r.position, r.run_id, e.body FROM runs AS r
    JOIN events AS e ON e.run_id = r.run_id AND e.seq = r.last_seq
    WHERE r.position > ? ORDER BY r.position LIMIT ?"""
_STRAYS = "SELECT DISTINCT run_id FROM events WHERE run_id NOT IN (SELECT run_id FROM runs)"


class JournalCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found."""

    runs: int
    events: int
    problems: tuple[str, ...]
    """Each names the run; the first hundred. Empty: all is sound."""

    @property
    def is_sound(self) -> bool:
        """Nothing was found."""
        return not self.problems


def check(db: sqlite3.Connection) -> JournalCheck:
    """Look at every page and every event: the file's structure, numbers without gaps, events that decode and replay."""
    problems = [f"the file: {text}" for (text,) in db.execute("PRAGMA integrity_check(20)") if text != "ok"]
    problems += [
        f"run {run_id!r}: events without a run" for (run_id,) in db.execute(_STRAYS).fetchmany(_MAX_PROBLEMS)
    ]
    runs = events = 0
    for run_id, last_seq in db.execute("SELECT run_id, last_seq FROM runs ORDER BY position"):
        runs += 1
        rows = db.execute("SELECT seq, body FROM events WHERE run_id = ? ORDER BY seq", (run_id,)).fetchall()
        events += len(rows)
        if len(problems) < _MAX_PROBLEMS:
            problems += [f"run {run_id!r}: {problem}" for problem in _problems(run_id, last_seq, rows)]
    return JournalCheck(runs=runs, events=events, problems=tuple(problems[:_MAX_PROBLEMS]))


def _problems(run_id: str, last_seq: int, rows: Sequence[tuple[int, bytes]]) -> Iterator[str]:
    numbers = [seq for seq, _ in rows]
    if numbers != list(range(1, last_seq + 1)):
        yield f"its events should be 1 to {last_seq} and are {_shortened(numbers)}"
        return
    read: list[Event] = []
    for seq, body in rows:
        try:
            read.append(codec.decode(body))
        except CodecError as error:
            yield f"event {seq}: {error}"
            return
    try:
        replay(run_id, read)
    except Exception as error:  # noqa: BLE001  # whatever the fold says is the finding
        yield f"it does not replay: {error}"


def _shortened(numbers: Sequence[int]) -> str:
    return (
        str(list(numbers)) if len(numbers) <= 10 else f"{len(numbers)} between {numbers[0]} and {numbers[-1]}"
    )


def over_before(db: sqlite3.Connection, time: float, after: int, limit: int) -> tuple[list[str], int]:
    """Of the next `limit` runs behind position `after`: those that ended before `time`, and where to go on; 0: nowhere."""
    rows = db.execute(_LASTS, (after, limit)).fetchall()
    over = [
        run_id for _, run_id, body in rows if isinstance(last := codec.decode(body), _ENDS) and last.at < time
    ]
    return over, rows[-1][0] if len(rows) == limit else 0


def of_session(db: sqlite3.Connection, session_id: str) -> list[str]:
    """The runs of a session."""
    return [run_id for (run_id,) in db.execute("SELECT run_id FROM runs WHERE session_id = ?", (session_id,))]


def delete(db: sqlite3.Connection, run_ids: Sequence[str]) -> int:
    """Remove runs whole; returns how many were there."""
    keys = [(run_id,) for run_id in run_ids]
    db.executemany("DELETE FROM events WHERE run_id = ?", keys)
    db.executemany("DELETE FROM snapshots WHERE run_id = ?", keys)
    return db.executemany("DELETE FROM runs WHERE run_id = ?", keys).rowcount


def scrub(db: sqlite3.Connection) -> None:
    """Write the file anew, without a trace of what was deleted, and empty the write-ahead log."""
    db.execute("VACUUM")
    (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("the write-ahead log is still read by another connection")


def save_snapshot(db: sqlite3.Connection, run_id: str, seq: int, body: bytes) -> None:
    """Keep the state after event `seq` of a run, unless a later one is kept."""
    db.execute(
        "INSERT INTO snapshots (run_id, seq, body) VALUES (?, ?, ?)"
        " ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, body = excluded.body WHERE excluded.seq > seq",
        (run_id, seq, body),
    )


def load_snapshot(db: sqlite3.Connection, run_id: str) -> tuple[int, bytes] | None:
    """The number of the event and the state after it, or None."""
    row = db.execute("SELECT seq, body FROM snapshots WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else (row[0], row[1])
