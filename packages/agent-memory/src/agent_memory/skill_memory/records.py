"""The tables of skill memory and their SQL: tools, what they served, how they did, lessons, patterns."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from agent_core.json_types import JsonObject
from agent_core.lessons import Lesson
from agent_core.tools import ToolExample, ToolSpec
from agent_memory.skill_memory.patterns import Call, Pattern
from agent_memory.sqlite_store import Schema

SCHEMA = Schema(
    application_id=0x61676D73,  # "agms"
    version=1,
    statements=(
        "CREATE TABLE tools (name TEXT PRIMARY KEY, spec BLOB NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE served (
            id INTEGER PRIMARY KEY,
            tool TEXT NOT NULL,
            request TEXT NOT NULL,
            arguments BLOB NOT NULL, -- JSON
            at REAL NOT NULL,
            UNIQUE (tool, request)
        ) STRICT""",
        """CREATE TABLE statistics (
            tool TEXT PRIMARY KEY,
            successes INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            last_error TEXT NOT NULL,
            last_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE lessons (
            tool TEXT NOT NULL,
            reason TEXT NOT NULL,
            fixed_by TEXT NOT NULL,
            times INTEGER NOT NULL,
            last_at REAL NOT NULL,
            PRIMARY KEY (tool, reason)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE patterns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            body BLOB NOT NULL -- JSON
        ) STRICT""",
        "CREATE TABLE learned (run_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    ),
)
SERVED_AT_MOST = 200
"""Of one tool; the newest."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool did."""

    tool: str
    successes: int
    failures: int
    last_error: str
    """The code of its latest failure; empty: it never failed."""
    last_at: float

    @property
    def reliability(self) -> float:
        """The share of successes, as if it had begun with one of each."""
        return (self.successes + 1) / (self.successes + self.failures + 2)


class LearnedLesson(msgspec.Struct, frozen=True, kw_only=True):
    """A lesson of reflexion, and how often it was learned."""

    lesson: Lesson
    times: int
    last_at: float


def put_tools(db: sqlite3.Connection, specs: Iterable[ToolSpec]) -> None:
    """Keep what tools look like; one of the same name is replaced."""
    rows = [(spec.name, msgspec.json.encode(spec)) for spec in specs]
    db.executemany("INSERT OR REPLACE INTO tools (name, spec) VALUES (?, ?)", rows)


def tools(db: sqlite3.Connection) -> list[ToolSpec]:
    """All tools, by name."""
    rows = db.execute("SELECT spec FROM tools ORDER BY name")
    return [msgspec.json.decode(spec, type=ToolSpec) for (spec,) in rows]


def begin_run(db: sqlite3.Connection, run_id: str) -> bool:
    """Whether this run was not learned from before."""
    return db.execute("INSERT OR IGNORE INTO learned (run_id) VALUES (?)", (run_id,)).rowcount > 0


def count(db: sqlite3.Connection, calls: Iterable[Call], at: float) -> None:
    """Add calls to the statistics of their tools."""
    for one in calls:
        db.execute(
            "INSERT INTO statistics (tool, successes, failures, last_error, last_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (tool) DO UPDATE SET successes = successes + excluded.successes,"
            " failures = failures + excluded.failures, last_at = excluded.last_at,"
            " last_error = CASE excluded.last_error WHEN '' THEN last_error ELSE excluded.last_error END",
            (one.call.name, int(not one.error), int(bool(one.error)), one.error, at),
        )


def statistics(db: sqlite3.Connection) -> list[Statistics]:
    """Of every tool that was ever called, by name."""
    rows = db.execute("SELECT tool, successes, failures, last_error, last_at FROM statistics ORDER BY tool")
    return [
        msgspec.convert(dict(zip(Statistics.__struct_fields__, row, strict=True)), Statistics) for row in rows
    ]


def put_lessons(db: sqlite3.Connection, lessons: Iterable[Lesson], at: float) -> None:
    """Keep lessons; one that is known is counted, and keeps what fixed it."""
    db.executemany(
        "INSERT INTO lessons (tool, reason, fixed_by, times, last_at) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (tool, reason) DO UPDATE SET times = times + 1, last_at = excluded.last_at,"
        " fixed_by = CASE excluded.fixed_by WHEN '' THEN fixed_by ELSE excluded.fixed_by END",
        [(lesson.tool, lesson.reason, lesson.fixed_by, at) for lesson in lessons],
    )


def lessons(db: sqlite3.Connection, tool: str | None, limit: int) -> list[LearnedLesson]:
    """The lessons learned most often first; of one tool if given."""
    where, values = ("WHERE tool = ?", [tool]) if tool is not None else ("", [])
    rows = db.execute(
        f"SELECT tool, reason, fixed_by, times, last_at FROM lessons {where} ORDER BY times DESC, last_at DESC LIMIT ?",  # noqa: S608
        [*values, limit],
    )
    return [
        LearnedLesson(
            lesson=Lesson(tool=tool, reason=reason, fixed_by=fixed_by), times=times, last_at=last_at
        )
        for tool, reason, fixed_by, times, last_at in rows
    ]


def put_served(db: sqlite3.Connection, tool: str, request: str, arguments: JsonObject, at: float) -> None:
    """Keep a request that a tool served well; the oldest make room."""
    db.execute(
        "INSERT OR REPLACE INTO served (tool, request, arguments, at) VALUES (?, ?, ?, ?)",
        (tool, request, msgspec.json.encode(arguments), at),
    )
    db.execute(
        "DELETE FROM served WHERE tool = ? AND id NOT IN"
        " (SELECT id FROM served WHERE tool = ? ORDER BY at DESC, id DESC LIMIT ?)",
        (tool, tool, SERVED_AT_MOST),
    )


def served(db: sqlite3.Connection) -> list[tuple[str, ToolExample]]:
    """Tool, request and arguments of all that is kept, oldest first."""
    rows = db.execute("SELECT tool, request, arguments FROM served ORDER BY at, id")
    return [
        (tool, ToolExample(utterance=request, arguments=msgspec.json.decode(arguments)))
        for tool, request, arguments in rows
    ]


def patterns(db: sqlite3.Connection) -> list[Pattern]:
    """All patterns, oldest first."""
    rows = db.execute("SELECT id, body FROM patterns ORDER BY id")
    return [
        msgspec.structs.replace(msgspec.json.decode(body, type=Pattern), id=row_id) for row_id, body in rows
    ]


def pattern(db: sqlite3.Connection, key: str) -> Pattern | None:
    """The pattern of a key."""
    row = db.execute("SELECT id, body FROM patterns WHERE key = ?", (key,)).fetchone()
    return (
        None if row is None else msgspec.structs.replace(msgspec.json.decode(row[1], type=Pattern), id=row[0])
    )


def put_pattern(db: sqlite3.Connection, one: Pattern) -> int:
    """Keep a pattern, in place of the one with its key; returns its id."""
    db.execute(
        "INSERT INTO patterns (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        (one.key, msgspec.json.encode(one)),
    )
    (row_id,) = db.execute("SELECT id FROM patterns WHERE key = ?", (one.key,)).fetchone()
    return int(row_id)


def delete_patterns(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove patterns."""
    db.executemany("DELETE FROM patterns WHERE id = ?", [(row_id,) for row_id in ids])


def delete_tools(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """Remove tools and all that is known of them, but for the patterns that use them."""
    for table, column in (("tools", "name"), ("served", "tool"), ("statistics", "tool"), ("lessons", "tool")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(name,) for name in names])  # noqa: S608


def delete_containing(db: sqlite3.Connection, words: str) -> int:
    """Remove the requests, patterns and lessons in which these words stand, in any case; returns how many."""
    needle = words.casefold()
    columns = {
        "served": "request || char(10) || CAST(arguments AS TEXT)",
        "lessons": "reason || char(10) || fixed_by",
        "patterns": "key || char(10) || CAST(body AS TEXT)",
    }

    def holds(text: str) -> bool:
        return needle in text.casefold()

    db.create_function("holds", 1, holds, deterministic=True)
    return sum(
        db.execute(f"DELETE FROM {table} WHERE holds({told})").rowcount  # noqa: S608
        for table, told in columns.items()
    )


def delete_all(db: sqlite3.Connection) -> None:
    """Remove everything."""
    for table in ("tools", "served", "statistics", "lessons", "patterns", "learned"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608
