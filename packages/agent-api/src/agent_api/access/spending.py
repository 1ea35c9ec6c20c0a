"""What each key has spent, and whether it may go on: requests a minute, tokens a day, money a month.

Requests are counted in memory. Tokens and money are kept in a SQLite file, a row a key and day, so limits hold over restarts;
they are known once a run has ended its turn, so a key may pass its limit by what was under way.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from agent_api.access.keys import ApiKey
from agent_api.access.private_file import open_private
from agent_api.errors import RateLimitedError
from agent_core.chat import Delta
from agent_core.events import ModelTurn
from agent_core.messages import Usage
from agent_core.ports import StoredEvent
from agent_core.state import RunState
from agent_gateway.limits import SlidingWindow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spending (
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    day TEXT NOT NULL,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (key_id, day)
) STRICT
"""
_OWNERS = """
CREATE TABLE IF NOT EXISTS owners (
    run_id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


OWNERS_IN_MEMORY = 2_000


class DaySpending(msgspec.Struct, frozen=True, kw_only=True):
    """What one key spent on one day (UTC)."""

    tenant: str
    key_id: str
    day: str
    """As `2026-11-22`."""
    input_tokens: int
    """Cached ones included."""
    output_tokens: int
    """Reasoning included."""
    cost_usd: float
    """As far as costs were known."""
    turns: int


class SpendingBook:
    """What the keys of one daemon have spent."""

    def __init__(self, folder: Path) -> None:
        """Open or create `spending.db` in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        path = folder / "spending.db"
        self._connection = open_private(  # figures, which may lose their last second
            path, (_SCHEMA, _OWNERS), what="the spending", synchronous="NORMAL"
        )
        self._windows: dict[str, SlidingWindow] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        """Of the runs that began last: nearly every turn is one of theirs."""

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def count_request(self, key: ApiKey, now: float) -> None:
        """Count a request of a key.

        Raises:
            RateLimitedError: it has asked as often as it may in a minute.
        """
        limit = key.limits.requests_per_minute
        if limit is None:
            return
        window = self._windows.get(key.key_id)
        if window is None:
            window = self._windows[key.key_id] = SlidingWindow(limit)
        ready_at = window.ready_at(now)
        if ready_at > now:
            raise RateLimitedError("requests a minute", max(1.0, ready_at - now))
        window.take(now)

    def check(self, key: ApiKey, now: float) -> None:
        """Whether a key may ask a model.

        Raises:
            RateLimitedError: it has spent its tokens of the day, or its money of the month.
        """
        today = datetime.fromtimestamp(now, UTC)
        tokens, cost = key.limits.tokens_per_day, key.limits.cost_usd_per_month
        if (
            tokens is not None
            and self._sum("input_tokens + output_tokens", key.key_id, f"{today:%Y-%m-%d}") >= tokens
        ):
            midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise RateLimitedError("tokens a day", midnight.timestamp() - now)
        if cost is not None and self._sum("cost_usd", key.key_id, f"{today:%Y-%m}") >= cost:
            month = (today.replace(day=1) + timedelta(days=32)).replace(
                day=1, hour=0, minute=0, second=0, microsecond=0
            )
            raise RateLimitedError("money a month", month.timestamp() - now)

    def _sum(self, what: str, key_id: str, days: str) -> float:
        query = f"SELECT COALESCE(SUM({what}), 0) FROM spending WHERE key_id = ? AND day GLOB ?"  # noqa: S608  # ours
        with closing(self._connection.execute(query, (key_id, f"{days}*"))) as rows:
            return float(rows.fetchone()[0])

    def add(self, *, tenant: str, key_id: str, usage: Usage, now: float) -> None:
        """Count a turn of a model for a key."""
        self._connection.execute(
            "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (key_id, day) DO UPDATE SET "
            "input_tokens = input_tokens + excluded.input_tokens, "
            "output_tokens = output_tokens + excluded.output_tokens, "
            "cost_usd = cost_usd + excluded.cost_usd, turns = turns + 1",
            (
                tenant,
                key_id,
                f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}",
                usage.prompt_tokens,
                usage.output_tokens + usage.reasoning_tokens,
                usage.cost_usd or 0.0,
            ),
        )

    def own(self, run_id: str, *, tenant: str, key_id: str) -> None:
        """Record which key pays for a run."""
        added = self._connection.execute(
            "INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", (run_id, tenant, key_id)
        ).rowcount
        if not added:  # whoever paid first pays
            return
        if len(self._owners) >= OWNERS_IN_MEMORY:
            del self._owners[next(iter(self._owners))]
        self._owners[run_id] = (tenant, key_id)

    def owner(self, run_id: str) -> tuple[str, str] | None:
        """The tenant and the key that pay for a run; None: nobody's key started it."""
        known = self._owners.get(run_id)
        if known is not None:
            return known
        with closing(
            self._connection.execute("SELECT tenant, key_id FROM owners WHERE run_id = ?", (run_id,))
        ) as rows:
            found = rows.fetchone()
        return None if found is None else (str(found[0]), str(found[1]))

    def days(self, *, tenant: str | None, since: str = "") -> Iterator[DaySpending]:
        """What was spent, a key and day; of one tenant if given, from day `since` on."""
        query = (
            "SELECT tenant, key_id, day, input_tokens, output_tokens, cost_usd, turns FROM spending "
            "WHERE day >= ? AND (? IS NULL OR tenant = ?) ORDER BY day, key_id"
        )
        with closing(self._connection.execute(query, (since, tenant, tenant))) as rows:
            for row in rows:
                yield DaySpending(
                    tenant=row[0],
                    key_id=row[1],
                    day=row[2],
                    input_tokens=row[3],
                    output_tokens=row[4],
                    cost_usd=row[5],
                    turns=row[6],
                )


class Meter:
    """An observer that writes down what runs spend, for the keys that started them."""

    def __init__(self, book: SpendingBook) -> None:
        self._book = book

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Count the turn of a model."""
        if not isinstance(stored.event, ModelTurn):
            return
        owner = self._book.owner(stored.run_id)
        if owner is None and state.parent_id:  # a sub-agent spends for who called it
            owner = self._book.owner(state.parent_id)
            if owner is not None:
                self._book.own(stored.run_id, tenant=owner[0], key_id=owner[1])
        if owner is not None:
            self._book.add(tenant=owner[0], key_id=owner[1], usage=stored.event.usage, now=state.updated_at)

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Deltas cost nothing until they are a turn."""
