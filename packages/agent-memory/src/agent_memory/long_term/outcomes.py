"""Outcomes of runs: what was asked, what came of it and what it took. The words and their SQL."""

import sqlite3
from collections.abc import Sequence

import msgspec

from agent_core.lessons import Lesson
from agent_core.state import RunState

SCHEMA = (
    """CREATE TABLE outcomes (
        run_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        ended_at REAL NOT NULL,
        body BLOB NOT NULL -- JSON
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX outcomes_by_time ON outcomes (ended_at)",
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run, in short."""

    run_id: str
    session_id: str
    goal: str
    """What was asked for."""
    answer: str
    model: str
    started_at: float
    ended_at: float
    turns: int
    tool_calls: int
    tokens: int
    cost_usd: float | None = None
    """None means unknown, never free."""
    limit_reached: str = ""
    lessons: tuple[Lesson, ...] = ()


def of(state: RunState) -> Outcome:
    """The outcome of a run."""
    return Outcome(
        run_id=state.run_id,
        session_id=state.session_id,
        goal=state.input.text if state.input else "",
        answer=state.answer,
        model=state.model,
        started_at=state.started_at,
        ended_at=state.updated_at,
        turns=state.spent.turns,
        tool_calls=state.spent.tool_calls,
        tokens=state.usage.total_tokens,
        cost_usd=state.usage.cost_usd,
        limit_reached=state.limit_reached,
        lessons=state.lessons,
    )


def put(db: sqlite3.Connection, outcome: Outcome) -> None:
    """Keep an outcome; told again of a run, the later one."""
    db.execute(
        "INSERT OR REPLACE INTO outcomes (run_id, session_id, ended_at, body) VALUES (?, ?, ?, ?)",
        (outcome.run_id, outcome.session_id, outcome.ended_at, msgspec.json.encode(outcome)),
    )


def select(db: sqlite3.Connection, session_id: str | None, limit: int) -> list[Outcome]:
    """The latest outcomes first."""
    where, values = ("WHERE session_id = ?", [session_id]) if session_id is not None else ("", [])
    rows = db.execute(
        f"SELECT body FROM outcomes {where} ORDER BY ended_at DESC, run_id DESC LIMIT ?",  # noqa: S608
        [*values, limit],
    )
    return [msgspec.json.decode(body, type=Outcome) for (body,) in rows]


def delete(db: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    """Remove outcomes."""
    db.executemany("DELETE FROM outcomes WHERE run_id = ?", [(run_id,) for run_id in run_ids])
