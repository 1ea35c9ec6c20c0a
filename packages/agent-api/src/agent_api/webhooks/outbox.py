"""What webhooks are owed: SQL only. A row is written before anything is sent, claimed for a while by whoever sends it, and
tried again until it came through; so each message comes at least once, always under the same id.
"""

import json
import random
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from agent_core.state import RunState

RETRY_S = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0)
"""The waits before each further attempt, 32 hours together; each is drawn a tenth shorter or longer."""
LEASE_S = 20.0
"""So long a claimed delivery is left alone: longer than an attempt may take."""
DISABLE_AFTER_S = 3 * 86_400.0
"""A webhook that nothing came through to for so long is disabled."""
KEEP_S = 30 * 86_400.0
"""How long the log of deliveries goes back."""
MAX_OWED = 100_000
"""A webhook that is owed more is disabled: the disk is not filled for who does not listen."""
GONE = 410


class News(msgspec.Struct, frozen=True, kw_only=True):
    """Something that webhooks may be told."""

    message_id: str
    """The same whenever the same is told again."""
    type: str
    at: float
    """Seconds since the epoch."""
    session_id: str = ""
    data: dict[str, object] = {}
    state: RunState | None = None
    """Of the run that it is about; not told as it is."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is claimed."""

    number: int
    webhook_id: str
    message_id: str
    payload: str
    attempts: int
    """Those before this one."""
    url: str
    key_id: str
    """The key that made the webhook."""
    generation: int
    before_until: float
    token: str
    """Comes along as it is, where the webhook is of one task; empty: none."""
    authorization: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt went."""

    at: float
    status: int = 0
    """Of HTTP; 0: no reply."""
    error: str = ""
    """Empty: it came through."""


def payload_of(news: News) -> str:
    """The body as it is signed and sent."""
    at = datetime.fromtimestamp(news.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": news.type, "timestamp": at, "data": news.data}, separators=(",", ":"))


def owe(db: sqlite3.Connection, news: Sequence[News], now: float) -> int:
    """Owe every webhook that listens what it is not owed yet; returns how many deliveries that are."""
    if not news:
        return 0
    query = "SELECT webhook_id, events, created_at FROM webhooks WHERE disabled_at IS NULL AND events <> ''"
    listening = [(row[0], row[1].split(), row[2]) for row in db.execute(query)]
    return sum(
        owe_one(db, webhook_id, one, now)
        for webhook_id, events, created_at in listening
        for one in news
        if one.type in events and one.at >= created_at
    )


def owe_one(db: sqlite3.Connection, webhook_id: str, news: News, now: float, *, payload: str = "") -> int:
    """Owe one webhook something; 0: it was owed that already. `payload` is the body, where it is not that of `news`."""
    return db.execute(
        "INSERT OR IGNORE INTO deliveries (webhook_id, message_id, type, session_id, payload, created_at, status, "
        "attempts, due_at, last_status, last_error) VALUES (?, ?, ?, ?, ?, ?, 'pending', 0, ?, 0, '')",
        (webhook_id, news.message_id, news.type, news.session_id, payload or payload_of(news), now, now),
    ).rowcount


def told_from(db: sqlite3.Connection) -> float:
    """Nobody is to be told of what was before; infinite: nobody listens."""
    (at,) = db.execute("SELECT min(created_at) FROM webhooks WHERE disabled_at IS NULL").fetchone()
    return float("inf") if at is None else float(at)


def next_due(db: sqlite3.Connection) -> float | None:
    """When the next delivery is due; None: nothing is owed."""
    query = (
        "SELECT min(due_at) FROM deliveries JOIN webhooks USING (webhook_id) "
        "WHERE status = 'pending' AND disabled_at IS NULL"
    )
    (at,) = db.execute(query).fetchone()
    return None if at is None else float(at)


def claim(db: sqlite3.Connection, now: float, limit: int, busy: Sequence[str]) -> list[Owed]:
    """What is due, of webhooks that are not `busy`; nobody else gets it before `LEASE_S` is over."""
    query = (
        "SELECT number, webhook_id, message_id, payload, attempts, url, key_id, generation, before_until, "
        "COALESCE(token, '') AS token, "
        "CASE WHEN credentials <> '' THEN scheme || ' ' || credentials ELSE '' END AS authorization "
        "FROM deliveries JOIN webhooks USING (webhook_id) LEFT JOIN pushes USING (webhook_id) "
        "WHERE status = 'pending' AND due_at <= ? AND disabled_at IS NULL "
        "AND webhook_id NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at, number LIMIT ?"
    )
    names = Owed.__struct_fields__
    rows = db.execute(query, (now, json.dumps(list(busy)), limit)).fetchall()
    owed = [msgspec.convert(dict(zip(names, row, strict=True)), Owed) for row in rows]
    db.executemany(
        "UPDATE deliveries SET due_at = ? WHERE number = ?", [(now + LEASE_S, one.number) for one in owed]
    )
    return owed


def settle(db: sqlite3.Connection, owed: Owed, attempt: Attempt) -> str:
    """Note how an attempt went. Returns why the webhook is disabled from now on; empty: it is not."""
    error, now = attempt.error[:500], attempt.at
    if not error:
        db.execute(
            "UPDATE deliveries SET status = 'delivered', attempts = attempts + 1, last_status = ?, last_error = '', "
            "ended_at = ? WHERE number = ?",
            (attempt.status, now, owed.number),
        )
        db.execute("UPDATE webhooks SET failing_since = NULL WHERE webhook_id = ?", (owed.webhook_id,))
        return ""
    is_last = owed.attempts >= len(RETRY_S)
    db.execute(
        "UPDATE deliveries SET status = ?, attempts = attempts + 1, last_status = ?, last_error = ?, due_at = ?, "
        "ended_at = ? WHERE number = ?",
        (
            "failed" if is_last else "pending",
            attempt.status,
            error,
            now + _wait_s(owed.attempts),
            now if is_last else None,
            owed.number,
        ),
    )
    return _failing(db, owed.webhook_id, attempt)


def _wait_s(attempts: int) -> float:
    wait_s = RETRY_S[min(attempts, len(RETRY_S) - 1)]
    return wait_s * random.uniform(0.9, 1.1)  # noqa: S311  # so that not all come back at once


def _failing(db: sqlite3.Connection, webhook_id: str, attempt: Attempt) -> str:
    db.execute(
        "UPDATE webhooks SET failing_since = COALESCE(failing_since, ?) WHERE webhook_id = ?",
        (attempt.at, webhook_id),
    )
    row = db.execute("SELECT failing_since FROM webhooks WHERE webhook_id = ?", (webhook_id,)).fetchone()
    if row is None:  # removed meanwhile
        return ""
    if attempt.status == GONE:
        reason = "it answered 410 Gone"
    elif attempt.at - row[0] >= DISABLE_AFTER_S:
        days = DISABLE_AFTER_S / 86_400
        reason = f"nothing came through for {days:.0f} days; last: {attempt.error[:200]}"
    else:
        return ""
    return reason if disable(db, webhook_id, reason, attempt.at) else ""


def disable(db: sqlite3.Connection, webhook_id: str, reason: str, now: float) -> bool:
    """Send it nothing more; False: it was disabled already."""
    query = "UPDATE webhooks SET disabled_at = ?, reason = ? WHERE webhook_id = ? AND disabled_at IS NULL"
    return db.execute(query, (now, reason, webhook_id)).rowcount > 0


def upkeep(db: sqlite3.Connection, now: float) -> list[tuple[str, str]]:
    """Remove what is old from the log, and who was told of tasks that are old; returns the webhooks that are disabled for being owed too much, and why."""
    db.execute("DELETE FROM deliveries WHERE created_at < ?", (now - KEEP_S,))
    query = "DELETE FROM webhooks WHERE created_at < ? AND webhook_id IN (SELECT webhook_id FROM pushes)"
    db.execute(query, (now - KEEP_S,))
    db.execute("DELETE FROM pushes WHERE webhook_id NOT IN (SELECT webhook_id FROM webhooks)")
    query = "SELECT webhook_id, count(*) FROM deliveries WHERE status = 'pending' GROUP BY webhook_id HAVING count(*) > ?"
    disabled: list[tuple[str, str]] = []
    for webhook_id, owed in db.execute(query, (MAX_OWED,)).fetchall():
        reason = f"it was owed {owed:,} deliveries"
        if disable(db, webhook_id, reason, now):
            disabled.append((webhook_id, reason))
    return disabled
