"""The webhooks of one tenant: made, looked at, changed and removed; what was delivered to each, and once more if asked."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from agent_api.access.attempt import ONLY, Attempt
from agent_api.access.idempotency import KEEP_S
from agent_api.errors import InvalidRequestError, NotFoundError, TooManyKeptError
from agent_api.webhooks import outbox
from agent_api.webhooks.delivery import SecretOf
from agent_api.webhooks.signing import shown_secret
from agent_memory.sqlite_store import SqliteStore
from agent_skills.errors import SkillFailedError
from agent_skills.web.guarded import GuardedWeb

MAX_WEBHOOKS = 50
TEST = "webhook.test"

EventType: TypeAlias = Literal["run.done", "run.failed", "run.cancelled", "run.waiting", "schedule.stopped"]
"""What a webhook can be told. `run.waiting`: a person must approve a call, or answer a question."""
Status: TypeAlias = Literal["pending", "delivered", "failed"]


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    name: str
    events: tuple[EventType, ...]
    key_id: str
    """The key that made it, or enabled it again: when that one ends, and was not rotated, nothing more is sent."""
    created_at: float
    """Seconds since the epoch."""
    status: Literal["enabled", "failing", "disabled"]
    reason: str
    """Why it is disabled."""
    failing_since: float | None
    disabled_at: float | None


class ShownWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with the secret that its messages are signed with: shown this once."""

    secret: str
    about: WebhookView


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One message to a webhook, and how far it came."""

    message_id: str
    """Its `webhook-id`, the same in every attempt."""
    type: str
    status: Status
    attempts: int
    created_at: float
    next_at: float | None
    """When it is tried next; null: not any more."""
    last_status: int
    """Of HTTP; 0: no reply yet."""
    last_error: str
    ended_at: float | None


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the deliveries, the newest first."""

    items: tuple[DeliveryView, ...]
    next_cursor: int | None


class Webhooks:
    """The webhooks of one tenant."""

    def __init__(
        self,
        records: SqliteStore,
        *,
        web: GuardedWeb,
        wake: Callable[[], None],
        secret_of: SecretOf,
        now: Callable[[], float],
    ) -> None:
        """`wake` tells who sends that something is owed."""
        self._records = records
        self._web = web
        self._wake = wake
        self._secret_of = secret_of
        self._now = now

    async def create(
        self,
        *,
        url: str,
        name: str,
        events: Sequence[EventType],
        key_id: str,
        attempt: Attempt = ONLY,
    ) -> ShownWebhook:
        """A new webhook, and its secret; or the one that an attempt before this one made, with its secret.

        Raises:
            InvalidRequestError: the address is none that may be reached.
            TooManyKeptError: there are as many as may be.
        """
        if attempt.is_again:
            for one in await self._records.read(_all, attempt.stem_id("webhook")):
                return ShownWebhook(secret=self._shown(one.webhook_id, 1), about=one)
        await self.check(url)
        webhook_id = attempt.fixed_id("webhook") or f"webhook_{secrets.token_hex(8)}"
        made = await self._records.change(
            _insert, (webhook_id, url, name, " ".join(dict.fromkeys(events)), key_id), self._now()
        )
        if not made:
            raise TooManyKeptError("webhooks", MAX_WEBHOOKS)
        return ShownWebhook(secret=self._shown(webhook_id, 1), about=await self.view(webhook_id))

    async def all(self) -> list[WebhookView]:
        """Every webhook, the newest last."""
        return await self._records.read(_all)

    async def view(self, webhook_id: str) -> WebhookView:
        """One webhook.

        Raises:
            NotFoundError: there is none of that id.
        """
        for one in await self._records.read(_all, webhook_id):
            return one
        raise NotFoundError(f"there is no webhook {webhook_id!r}")

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None,
        name: str | None,
        events: Sequence[EventType] | None,
        is_enabled: bool | None,
        key_id: str,
    ) -> WebhookView:
        """Change what is given. One that is enabled again gets what it is owed, and is that key's from now on.

        Raises:
            NotFoundError: there is none of that id.
            InvalidRequestError: the address is none that may be reached.
        """
        await self.view(webhook_id)
        if url is not None:
            await self.check(url)
        given: dict[str, object] = {"url": url, "name": name}
        given["events"] = None if events is None else " ".join(dict.fromkeys(events))
        changed = {column: value for column, value in given.items() if value is not None}
        await self._records.change(_change, webhook_id, changed, is_enabled, key_id=key_id, now=self._now())
        self._wake()
        return await self.view(webhook_id)

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook, what it is owed and its log.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(webhook_id)
        await self._records.change(_remove, webhook_id)

    async def rotate(self, webhook_id: str, *, grace_s: float, attempt: Attempt = ONLY) -> ShownWebhook:
        """Another secret; for `grace_s` seconds messages are signed with the one before as well. An attempt that is not the
        first is shown the secret that the one before made: after two rotations nothing would be signed with the one in use.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(webhook_id)
        now, rotation = self._now(), attempt.fixed_id("rotation")
        generation = await self._records.change(_rotate, webhook_id, rotation, now, now + grace_s)
        return ShownWebhook(secret=self._shown(webhook_id, generation), about=await self.view(webhook_id))

    async def test(self, webhook_id: str, *, attempt: Attempt = ONLY) -> DeliveryView:
        """Send it a message of type `webhook.test`, whatever it listens to; once, at however many attempts.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(webhook_id)
        now = self._now()
        message_id = attempt.fixed_id("msg") or f"msg_{secrets.token_hex(12)}"
        news = outbox.News(message_id=message_id, type=TEST, at=now, data={"webhook_id": webhook_id})
        await self._records.change(outbox.owe_one, webhook_id, news, now)
        self._wake()
        return await self.delivery(webhook_id, news.message_id)

    async def tell(self, news: outbox.News) -> None:
        """Owe it to every webhook that listens.

        Raises:
            MemoryUnavailableError: the storage failed.
        """
        if await self._records.change(outbox.owe, [news], self._now()):
            self._wake()

    async def deliveries(
        self, webhook_id: str, *, status: Status | None, cursor: int, limit: int
    ) -> DeliveryPage:
        """What was sent to a webhook, or is owed to it: the newest first.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(webhook_id)
        rows = await self._records.read(_deliveries, webhook_id, status, cursor or None, limit + 1)
        more = len(rows) > limit
        items = tuple(view for _, view in rows[:limit])
        return DeliveryPage(items=items, next_cursor=rows[limit - 1][0] if more else None)

    async def delivery(self, webhook_id: str, message_id: str) -> DeliveryView:
        """One delivery.

        Raises:
            NotFoundError: there is none of that id.
        """
        found = await self._records.read(_delivery, webhook_id, message_id)
        if found is None:
            raise NotFoundError(f"there is no delivery {message_id!r} to webhook {webhook_id!r}")
        return found

    async def redeliver(self, webhook_id: str, message_id: str) -> DeliveryView:
        """Send a message once more, under its id; an attempt that is planned is made now.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.delivery(webhook_id, message_id)
        await self._records.change(_again, webhook_id, message_id, self._now())
        self._wake()
        return await self.delivery(webhook_id, message_id)

    async def check(self, url: str) -> None:
        """Hold that messages may be sent to an address.

        Raises:
            InvalidRequestError: it is none that may be reached.
        """
        if not url.startswith("https://") and not self._web.limits.networks:
            raise InvalidRequestError(
                "a webhook's address begins with https://: its messages say what runs do", param="url"
            )
        try:
            await self._web.check(url)
        except SkillFailedError as error:
            raise InvalidRequestError(str(error), param="url") from error

    def _shown(self, webhook_id: str, generation: int) -> str:
        return shown_secret(self._secret_of(webhook_id, generation))


def _insert(db: sqlite3.Connection, row: tuple[str, ...], now: float) -> bool:
    (count,) = db.execute("SELECT count(*) FROM webhooks WHERE events <> ''").fetchone()
    if count >= MAX_WEBHOOKS:
        return False
    db.execute(
        "INSERT INTO webhooks (webhook_id, url, name, events, key_id, generation, before_until, created_at, reason) "
        "VALUES (?, ?, ?, ?, ?, 1, 0, ?, '')",
        (*row, now),
    )
    return True


def _all(db: sqlite3.Connection, webhook_id: str | None = None) -> list[WebhookView]:
    query = (
        "SELECT webhook_id, url, name, events, key_id, created_at, reason, failing_since, disabled_at FROM webhooks "
        "WHERE (? IS NULL AND webhook_id NOT IN (SELECT webhook_id FROM pushes)) OR webhook_id = ? "
        "ORDER BY created_at, webhook_id"
    )
    views: list[WebhookView] = []
    for row in db.execute(query, (webhook_id, webhook_id)):
        failing_since, disabled_at = row[7:]
        status: Literal["enabled", "failing"] = "enabled" if failing_since is None else "failing"
        views.append(
            WebhookView(
                webhook_id=row[0],
                url=row[1],
                name=row[2],
                events=tuple(row[3].split()),
                key_id=row[4],
                created_at=row[5],
                status=status if disabled_at is None else "disabled",
                reason=row[6],
                failing_since=failing_since,
                disabled_at=disabled_at,
            )
        )
    return views


def _change(
    db: sqlite3.Connection,
    webhook_id: str,
    changed: dict[str, object],
    is_enabled: bool | None,
    *,
    key_id: str,
    now: float,
) -> None:
    for column, value in changed.items():
        db.execute(f"UPDATE webhooks SET {column} = ? WHERE webhook_id = ?", (value, webhook_id))  # noqa: S608  # ours
    if is_enabled is False:
        outbox.disable(db, webhook_id, "a person disabled it", now)
    elif is_enabled:
        query = (
            "UPDATE webhooks SET key_id = CASE WHEN disabled_at IS NULL THEN key_id ELSE ? END, "
            "disabled_at = NULL, failing_since = NULL, reason = '' WHERE webhook_id = ?"
        )
        db.execute(query, (key_id, webhook_id))
        query = "UPDATE deliveries SET due_at = min(due_at, ?) WHERE webhook_id = ? AND status = 'pending'"
        db.execute(query, (now, webhook_id))


def _remove(db: sqlite3.Connection, webhook_id: str) -> None:
    db.execute("DELETE FROM webhooks WHERE webhook_id = ?", (webhook_id,))
    db.execute("DELETE FROM deliveries WHERE webhook_id = ?", (webhook_id,))


def prepare(db: sqlite3.Connection) -> None:
    """Make the table of rotations, which files of older versions do not have: what an idempotency key rotated."""
    db.execute(
        """CREATE TABLE IF NOT EXISTS rotations (
            rotation TEXT PRIMARY KEY,
            generation INTEGER NOT NULL,
            at REAL NOT NULL
        ) STRICT"""
    )


def _rotate(db: sqlite3.Connection, webhook_id: str, rotation: str, now: float, before_until: float) -> int:
    """The generation that it has now; `rotation`: the id of an attempt, empty where there is only one."""
    done = db.execute("SELECT generation FROM rotations WHERE rotation = ?", (rotation,)).fetchone()
    if done is not None:
        return int(done[0])
    query = "UPDATE webhooks SET generation = generation + 1, before_until = ? WHERE webhook_id = ? RETURNING generation"
    (generation,) = db.execute(query, (before_until, webhook_id)).fetchone()
    if rotation:
        db.execute("DELETE FROM rotations WHERE at <= ?", (now - KEEP_S,))
        db.execute("INSERT INTO rotations VALUES (?, ?, ?)", (rotation, generation, now))
    return int(generation)


_COLUMNS = "number, message_id, type, status, attempts, created_at, due_at, last_status, last_error, ended_at"


def _deliveries(
    db: sqlite3.Connection, webhook_id: str, status: Status | None, before: int | None, limit: int
) -> list[tuple[int, DeliveryView]]:
    query = (
        f"SELECT {_COLUMNS} FROM deliveries WHERE webhook_id = ? AND (? IS NULL OR status = ?) "  # noqa: S608  # ours
        "AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?"
    )
    rows = db.execute(query, (webhook_id, status, status, before, before, limit))
    return [(row[0], _delivery_view(row)) for row in rows]


def _delivery(db: sqlite3.Connection, webhook_id: str, message_id: str) -> DeliveryView | None:
    query = f"SELECT {_COLUMNS} FROM deliveries WHERE webhook_id = ? AND message_id = ?"  # noqa: S608  # ours
    row = db.execute(query, (webhook_id, message_id)).fetchone()
    return None if row is None else _delivery_view(row)


def _delivery_view(
    row: tuple[int, str, str, Status, int, float, float, int, str, float | None],
) -> DeliveryView:
    return DeliveryView(
        message_id=row[1],
        type=row[2],
        status=row[3],
        attempts=row[4],
        created_at=row[5],
        next_at=row[6] if row[3] == "pending" else None,
        last_status=row[7],
        last_error=row[8],
        ended_at=row[9],
    )


def _again(db: sqlite3.Connection, webhook_id: str, message_id: str, now: float) -> None:
    db.execute(
        "UPDATE deliveries SET status = 'pending', due_at = ?, ended_at = NULL WHERE webhook_id = ? AND message_id = ?",
        (now, webhook_id, message_id),
    )
