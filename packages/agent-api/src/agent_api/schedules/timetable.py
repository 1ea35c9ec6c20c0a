"""The schedules of one tenant and what they began, in its records. SQL and shapes; who starts runs is `firing`.

A firing is claimed together with the move of its schedule's clock, in one transaction, and the id of its run is chosen there: of
two daemons on the same data one claims it, and a firing whose daemon was killed begins the same run.
"""

import sqlite3
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent_core.limits import Limits

MAX_SCHEDULES = 500
KEEP_FIRINGS = 1_000
"""How many firings of a schedule are kept."""

Missed: TypeAlias = Literal["skip", "once"]
"""What becomes of firings that nobody was there for: nothing, or one run for all of them."""
FiringStatus: TypeAlias = Literal["claimed", "started", "missed", "refused"]


class RunTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The runs that a schedule begins."""

    prompt: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]
    instructions: str = ""
    """Empty: those of the settings."""
    limits: Limits | None = None
    session: Literal["new", "same"] = "new"
    """`new`: each run has its own; `same`: all are in one, and know what was said before."""
    session_id: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^/\x00-\x1f\x7f]*$")] = ""
    """With `same`: which one. Empty: one that is made for the schedule."""


class FiringView(msgspec.Struct, frozen=True, kw_only=True):
    """One firing of a schedule."""

    due_at: float
    """Seconds since the epoch."""
    at: float
    status: FiringStatus
    """`claimed`: its run is about to begin; `missed`: nobody was there; `refused`: `detail` says why."""
    run_id: str
    """Empty: there is none."""
    key_id: str
    detail: str


class FiringPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the firings, the newest first."""

    items: tuple[FiringView, ...]
    next_cursor: int | None


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    schedule_id: str
    name: str
    cron: str
    time_zone: str
    run: RunTemplate
    missed: Missed
    key_id: str
    """The key that its runs are started as."""
    created_at: float
    status: Literal["active", "paused", "stopped"]
    reason: str
    """Why it was stopped."""
    next_at: float | None
    """When it fires next, in seconds since the epoch; null: it does not."""


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """A firing that was claimed, with what its run needs."""

    schedule_id: str
    due_at: float
    at: float
    run_id: str
    key_id: str
    run: RunTemplate


def insert(db: sqlite3.Connection, view: ScheduleView) -> bool:
    """Keep a new schedule; False: there are as many as may be."""
    (count,) = db.execute("SELECT count(*) FROM schedules").fetchone()
    if count >= MAX_SCHEDULES:
        return False
    db.execute(
        "INSERT INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            view.schedule_id,
            view.name,
            view.cron,
            view.time_zone,
            _text(view.run),
            view.missed,
            view.key_id,
            view.created_at,
            view.status == "paused",
            view.reason,
            view.next_at,
        ),
    )
    return True


def every(db: sqlite3.Connection, schedule_id: str | None = None) -> list[ScheduleView]:
    """Every schedule, the newest last; or one."""
    query = "SELECT * FROM schedules WHERE ? IS NULL OR schedule_id = ? ORDER BY created_at, schedule_id"
    return [_view(row) for row in db.execute(query, (schedule_id, schedule_id))]


def due(db: sqlite3.Connection, now: float) -> list[ScheduleView]:
    """The schedules whose time has come."""
    query = "SELECT * FROM schedules WHERE next_at <= ? ORDER BY next_at LIMIT 100"
    return [_view(row) for row in db.execute(query, (now,))]


def next_due(db: sqlite3.Connection) -> float | None:
    """When the next schedule is due; None: none is."""
    (at,) = db.execute("SELECT min(next_at) FROM schedules").fetchone()
    return None if at is None else float(at)


def replace(db: sqlite3.Connection, view: ScheduleView, *, was_next_at: float | None) -> bool:
    """Put a changed schedule in the place of what it was; False: it fired or was changed meanwhile."""
    return (
        db.execute(
            "UPDATE schedules SET name = ?, cron = ?, time_zone = ?, template = ?, missed = ?, key_id = ?, "
            "is_paused = ?, reason = ?, next_at = ? WHERE schedule_id = ? AND next_at IS ?",
            (
                view.name,
                view.cron,
                view.time_zone,
                _text(view.run),
                view.missed,
                view.key_id,
                view.status == "paused",
                view.reason,
                view.next_at,
                view.schedule_id,
                was_next_at,
            ),
        ).rowcount
        > 0
    )


def remove(db: sqlite3.Connection, schedule_id: str) -> None:
    """Remove a schedule and the list of what it began; the runs stay."""
    db.execute("DELETE FROM schedules WHERE schedule_id = ?", (schedule_id,))
    db.execute("DELETE FROM firings WHERE schedule_id = ?", (schedule_id,))


def stop(db: sqlite3.Connection, view: ScheduleView, reason: str) -> bool:
    """Have a schedule fire no more until somebody resumes it; False: it was changed meanwhile."""
    query = "UPDATE schedules SET next_at = NULL, reason = ? WHERE schedule_id = ? AND next_at IS ?"
    return db.execute(query, (reason, view.schedule_id, view.next_at)).rowcount > 0


def claim(
    db: sqlite3.Connection,
    view: ScheduleView,
    *,
    key_id: str,
    next_at: float,
    status: FiringStatus,
    run_id: str,
    now: float,
) -> bool:
    """Take the firing that is due, and move the clock; False: somebody else took it.

    `key_id` is the key that it is begun as, and the schedule's from now on.
    """
    query = "UPDATE schedules SET next_at = ?, key_id = ? WHERE schedule_id = ? AND next_at = ?"
    if not db.execute(query, (next_at, key_id, view.schedule_id, view.next_at)).rowcount:
        return False
    view = msgspec.structs.replace(view, key_id=key_id)
    detail = "nobody was there at that time" if status == "missed" else ""
    return add_firing(
        db, view, due_at=view.next_at or now, status=status, run_id=run_id, now=now, detail=detail
    )


def add_firing(
    db: sqlite3.Connection,
    view: ScheduleView,
    *,
    due_at: float,
    status: FiringStatus,
    run_id: str,
    now: float,
    detail: str = "",
) -> bool:
    """Note a firing; False: there is one of that time already."""
    added = db.execute(
        "INSERT OR IGNORE INTO firings (schedule_id, due_at, run_id, at, status, key_id, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (view.schedule_id, due_at, run_id, now, status, view.key_id, detail),
    ).rowcount
    db.execute(
        "DELETE FROM firings WHERE schedule_id = ? AND number <= (SELECT number FROM firings WHERE schedule_id = ? "
        "ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (view.schedule_id, view.schedule_id, KEEP_FIRINGS),
    )
    return added > 0


def claimed(db: sqlite3.Connection) -> list[Firing]:
    """The firings whose runs have not begun yet, the oldest first."""
    query = (
        "SELECT schedule_id, due_at, at, run_id, firings.key_id, template FROM firings "
        "JOIN schedules USING (schedule_id) WHERE status = 'claimed' ORDER BY at LIMIT 100"
    )
    return [
        Firing(
            schedule_id=row[0],
            due_at=row[1],
            at=row[2],
            run_id=row[3],
            key_id=row[4],
            run=msgspec.json.decode(row[5], type=RunTemplate),
        )
        for row in db.execute(query)
    ]


def settle(db: sqlite3.Connection, run_id: str, status: FiringStatus, detail: str) -> None:
    """Note what became of a firing."""
    db.execute("UPDATE firings SET status = ?, detail = ? WHERE run_id = ?", (status, detail, run_id))


def firings(
    db: sqlite3.Connection, schedule_id: str, before: int | None, limit: int
) -> list[tuple[int, FiringView]]:
    """The firings of a schedule before a number, the newest first."""
    query = (
        "SELECT number, due_at, at, status, run_id, key_id, detail FROM firings "
        "WHERE schedule_id = ? AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?"
    )
    return [
        (
            row[0],
            FiringView(
                due_at=row[1],
                at=row[2],
                status=row[3],
                run_id=row[4] if row[3] in {"claimed", "started"} else "",
                key_id=row[5],
                detail=row[6],
            ),
        )
        for row in db.execute(query, (schedule_id, before, before, limit))
    ]


_Row: TypeAlias = tuple[str, str, str, str, str, Missed, str, float, int, str, float | None]


def _view(row: _Row) -> ScheduleView:
    schedule_id, name, cron, time_zone, template, missed, key_id, created_at, is_paused, reason, next_at = row
    status: Literal["active", "paused", "stopped"] = (
        "stopped" if reason else "paused" if is_paused else "active"
    )
    return ScheduleView(
        schedule_id=schedule_id,
        name=name,
        cron=cron,
        time_zone=time_zone,
        run=msgspec.json.decode(template, type=RunTemplate),
        missed=missed,
        key_id=key_id,
        created_at=created_at,
        status=status,
        reason=reason,
        next_at=next_at,
    )


def _text(template: RunTemplate) -> str:
    return msgspec.json.encode(template).decode()
