"""Values under keys, such as preferences, and what the file records of itself. SQL only."""

import sqlite3
from collections.abc import Sequence

import msgspec

SCHEMA = (
    """CREATE TABLE entries (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL, -- JSON
        updated_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

GET = "SELECT value FROM entries WHERE key = ?"
"""By its key."""
PUT = """INSERT INTO entries (key, value, updated_at) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"""
"""Key, value, time: in place of the one before."""


def select(db: sqlite3.Connection, prefix: str) -> dict[str, object]:
    """The values of all keys that begin with `prefix`, by key, sorted."""
    rows = db.execute(
        "SELECT key, value FROM entries WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
    )
    return {key: msgspec.json.decode(value) for key, value in rows}


def delete(db: sqlite3.Connection, keys: Sequence[str]) -> int:
    """Remove keys; returns how many were there."""
    return db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys]).rowcount


def setting(db: sqlite3.Connection, name: str) -> str | None:
    """What the file records of itself under this name."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def put_setting(db: sqlite3.Connection, name: str, value: str) -> None:
    """Record something of the file itself."""
    db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))
