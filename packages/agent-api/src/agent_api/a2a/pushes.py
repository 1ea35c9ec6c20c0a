"""Push notifications: who is told when a task ends or waits. Each is a webhook of one task: owed on the disk, signed, retried, and
led to no address that webhooks may not reach.
"""

import secrets
import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from agent_api.a2a.shapes import SHAPES, Revision
from agent_api.a2a.tasks import task_of
from agent_api.errors import TooManyKeptError
from agent_api.webhooks import outbox
from agent_api.webhooks.hooks import Webhooks
from agent_api.webhooks.outbox import News
from agent_core.state import RunState
from agent_memory.sqlite_store import SqliteStore

MAX_PUSHES = 1_000
"""Of a tenant; those of tasks that began long ago are removed."""

TYPE = "a2a.task"
"""Of a delivery, in the log of webhooks."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Where to tell of a task."""

    task_id: str
    config_id: str
    """Its client's name for it, or one that was made."""
    revision: Revision
    url: str
    token: str = ""
    """Comes along as `X-A2A-Notification-Token`."""
    scheme: str = ""
    credentials: str = ""
    """Come along as `Authorization`; never shown again."""


class Pushes:
    """The push notifications of one tenant."""

    def __init__(
        self, records: SqliteStore, webhooks: Webhooks, *, wake: Callable[[], None], now: Callable[[], float]
    ) -> None:
        """`wake` tells who sends that something is owed."""
        self._records = records
        self._webhooks = webhooks
        self._wake = wake
        self._now = now

    async def check(self, url: str) -> None:
        """Hold that notifications may be sent to an address: the rules are those of webhooks.

        Raises:
            InvalidRequestError: it is none that may be reached.
        """
        await self._webhooks.check(url)

    async def put(self, push: Push, *, key_id: str, state: RunState, news: News | None) -> Push:
        """Tell of a task from now on; of `news`, how it stands already, at once. One of the same name is replaced.

        Raises:
            TooManyKeptError: there are as many as may be.
        """
        named = msgspec.structs.replace(push, config_id=push.config_id or secrets.token_hex(8))
        if not await self._records.change(_put, named, key_id, self._now()):
            raise TooManyKeptError("push notifications", MAX_PUSHES)
        if news is not None:
            told = [msgspec.structs.replace(news, state=state)]
            owed = await self._records.change(owe, told, self._now())
            if owed:
                self._wake()
        return named

    async def all(self, task_id: str) -> Sequence[Push]:
        """Those of a task, without their credentials."""
        return await self._records.read(_all, task_id)

    async def remove(self, task_id: str, config_id: str) -> bool:
        """Tell no more; False: there is none of that name."""
        return await self._records.change(_remove, task_id, config_id)


def prepare(db: sqlite3.Connection) -> None:
    """Make the table, which files of older versions do not have."""
    db.execute(
        """CREATE TABLE IF NOT EXISTS pushes (
            webhook_id TEXT PRIMARY KEY,
            task_id TEXT NOT NULL,
            config_id TEXT NOT NULL,
            revision TEXT NOT NULL,
            token TEXT NOT NULL,
            scheme TEXT NOT NULL,
            credentials TEXT NOT NULL,
            UNIQUE (task_id, config_id)
        ) STRICT"""
    )


def owe(db: sqlite3.Connection, news: Sequence[News], now: float) -> int:
    """Owe those who are to be told of these runs how they stand; returns how many deliveries that are."""
    owed = 0
    for one in news:
        if one.state is None:
            continue
        query = "SELECT webhook_id, revision FROM pushes WHERE task_id = ?"
        for webhook_id, revision in db.execute(query, (one.state.run_id,)).fetchall():
            told = msgspec.structs.replace(one, type=TYPE)
            owed += outbox.owe_one(db, webhook_id, told, now, payload=_payload(one.state, Revision(revision)))
    return owed


def _payload(state: RunState, revision: Revision) -> str:
    shapes = SHAPES[revision]
    return msgspec.json.encode(shapes.sent(shapes.task(task_of(state), 0))).decode()


def _put(db: sqlite3.Connection, push: Push, key_id: str, now: float) -> bool:
    _remove(db, push.task_id, push.config_id)
    (count,) = db.execute("SELECT count(*) FROM pushes").fetchone()
    if count >= MAX_PUSHES:
        return False
    webhook_id = f"webhook_{secrets.token_hex(8)}"
    db.execute(
        "INSERT INTO webhooks (webhook_id, url, name, events, key_id, generation, before_until, created_at, reason) "
        "VALUES (?, ?, ?, '', ?, 1, 0, ?, '')",
        (webhook_id, push.url, f"of task {push.task_id}", key_id, now),
    )
    row = (push.task_id, push.config_id, push.revision, push.token, push.scheme, push.credentials)
    db.execute("INSERT INTO pushes VALUES (?, ?, ?, ?, ?, ?, ?)", (webhook_id, *row))
    return True


def _all(db: sqlite3.Connection, task_id: str) -> Sequence[Push]:
    query = (
        "SELECT task_id, config_id, revision, url, token, scheme FROM pushes JOIN webhooks USING (webhook_id) "
        "WHERE task_id = ? ORDER BY created_at, config_id"
    )
    names = ("task_id", "config_id", "revision", "url", "token", "scheme")
    return [
        msgspec.convert(dict(zip(names, row, strict=True)), Push) for row in db.execute(query, (task_id,))
    ]


def _remove(db: sqlite3.Connection, task_id: str, config_id: str) -> bool:
    query = "DELETE FROM pushes WHERE task_id = ? AND config_id = ? RETURNING webhook_id"
    removed = db.execute(query, (task_id, config_id)).fetchall()
    for table in ("webhooks", "deliveries"):
        db.executemany(f"DELETE FROM {table} WHERE webhook_id = ?", removed)  # noqa: S608  # ours
    return bool(removed)
