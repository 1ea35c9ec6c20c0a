"""What a daemon keeps of a tenant beside its journal, in one SQLite file: its sessions' names, webhooks and what they are
owed, schedules and what they began. Owns the tables; who asks what of them is in the module of each.
"""

from pathlib import Path

from agent_api.a2a import pushes
from agent_api.webhooks import hooks
from agent_memory.sqlite_store import Schema, SqliteStore

_SESSIONS = """CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL -- when a run of it began or ended, or it was changed
) STRICT"""
_MARKS = """CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    at REAL NOT NULL
) STRICT"""
_WEBHOOKS = """CREATE TABLE webhooks (
    webhook_id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    name TEXT NOT NULL,
    events TEXT NOT NULL,
    key_id TEXT NOT NULL,
    generation INTEGER NOT NULL, -- of its secret, which is made of it and kept nowhere
    before_until REAL NOT NULL, -- how long the secret of the generation before is used too
    created_at REAL NOT NULL,
    failing_since REAL, -- NULL: the last attempt came through
    disabled_at REAL,
    reason TEXT NOT NULL -- why it is disabled
) STRICT"""
_DELIVERIES = """CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    type TEXT NOT NULL,
    session_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at REAL NOT NULL,
    status TEXT NOT NULL, -- pending, delivered, failed
    attempts INTEGER NOT NULL,
    due_at REAL NOT NULL, -- of what is pending: when it is tried next
    last_status INTEGER NOT NULL, -- of HTTP; 0: no reply
    last_error TEXT NOT NULL,
    ended_at REAL,
    UNIQUE (webhook_id, message_id)
) STRICT"""
_SCHEDULES = """CREATE TABLE schedules (
    schedule_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    template TEXT NOT NULL,
    missed TEXT NOT NULL, -- skip, once
    key_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    is_paused INTEGER NOT NULL,
    reason TEXT NOT NULL, -- why it was stopped; empty: it was not
    next_at REAL -- NULL: paused or stopped
) STRICT"""
_FIRINGS = """CREATE TABLE firings (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id TEXT NOT NULL,
    due_at REAL NOT NULL,
    run_id TEXT NOT NULL UNIQUE, -- chosen when the firing is claimed: it can begin once
    at REAL NOT NULL,
    status TEXT NOT NULL, -- claimed, started, missed, refused
    key_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (schedule_id, due_at)
) STRICT"""
_SCHEMA = Schema(
    application_id=0x61675245,
    version=1,
    cache_kib=256,
    statements=(
        _SESSIONS,
        "CREATE INDEX sessions_by_use ON sessions (updated_at, session_id)",
        _MARKS,
        _WEBHOOKS,
        _DELIVERIES,
        "CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'pending'",
        "CREATE INDEX deliveries_of ON deliveries (webhook_id, number)",
        "CREATE INDEX deliveries_by_session ON deliveries (session_id)",
        _SCHEDULES,
        "CREATE INDEX schedules_due ON schedules (next_at)",
        _FIRINGS,
        "CREATE INDEX firings_of ON firings (schedule_id, number)",
        "CREATE INDEX firings_claimed ON firings (at) WHERE status = 'claimed'",
    ),
)


async def open_records(data_path: Path) -> SqliteStore:
    """The file in a tenant's data folder, made where there is none; the caller closes it.

    Raises:
        MemoryUnavailableError: it cannot be opened.
        MemoryVersionError: a newer version wrote it.
    """
    records = await SqliteStore.open(data_path / "records.db", _SCHEMA)
    await records.change(pushes.prepare)
    await records.change(hooks.prepare)
    return records
