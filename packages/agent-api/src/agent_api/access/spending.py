"""What each key has spent, and whether it may go on: requests a minute, tokens a day, money a month.

Requests are counted in memory. Tokens and money are kept in a SQLite file, a row a key and day, so limits hold over restarts;
they are known once a run has ended its turn, so a key may pass its limit by what was under way.

Who pays for a run is written before there is the run. Its turns are in the journal, so they are counted in memory, and many are
written in one commit with the number of the last event of each run that was counted: what a killed daemon had not written is
found in the journal at the next start, once (`metering.catch_up`). A power cut may take back the last half minute of this file,
as the system had not written it: turns of that time are found too, but for the runs whose payer was lost with them.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import msgspec

from agent_api.access.keys import ApiKey
from agent_api.access.private_file import open_private, writing
from agent_api.errors import RateLimitedError
from agent_core.messages import Usage
from agent_gateway.limits import SlidingWindow

logger = logging.getLogger("agentd")

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
    key_id TEXT NOT NULL,
    counted INTEGER NOT NULL DEFAULT 0,
    over_at REAL
) STRICT, WITHOUT ROWID
"""
_OVER = "CREATE INDEX IF NOT EXISTS owners_over ON owners (over_at) WHERE over_at IS NOT NULL"
_MARKS = "CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID"

FLUSH_S = 0.2
OVERLAP_S = 300.0
"""So far before the last commit the journal is searched for turns: clocks and commits are not exact."""
KEEP_OVER_S = 2 * OVERLAP_S
"""How long it is known who paid for a run that is over: so long it may have to be counted."""
OWNERS_IN_MEMORY = 2_000


class _Sum(msgspec.Struct):
    """What a key has spent on a day and is not written yet."""

    tenant: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    turns: int = 0


class _Counted(msgspec.Struct, frozen=True):
    """How far a run was counted, which is not written yet."""

    tenant: str
    key_id: str
    seq: int
    over_at: float | None


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

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        """Open or create `spending.db` in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "spending.db"
        self._connection = open_private(
            self._path, (_SCHEMA, _OWNERS), what="the spending", synchronous="NORMAL"
        )
        self._now = now
        self._windows: dict[str, SlidingWindow] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        """Of the runs that began last: nearly every turn is one of theirs."""
        self._sums: dict[tuple[str, str], _Sum] = {}
        """What is not written yet, by key and day."""
        self._counted: dict[str, _Counted] = {}
        self._is_failing = False
        _add_columns(self._connection)
        for statement in (_OVER, _MARKS):
            self._connection.execute(statement)
        self._connection.execute("INSERT OR IGNORE INTO marks VALUES ('begun', ?)", (now(),))

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
        if tokens is not None and self._spent(key.key_id, f"{today:%Y-%m-%d}")[0] >= tokens:
            midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise RateLimitedError("tokens a day", midnight.timestamp() - now)
        if cost is not None and self._spent(key.key_id, f"{today:%Y-%m}")[1] >= cost:
            month = (today.replace(day=1) + timedelta(days=32)).replace(
                day=1, hour=0, minute=0, second=0, microsecond=0
            )
            raise RateLimitedError("money a month", month.timestamp() - now)

    def _spent(self, key_id: str, days: str) -> tuple[int, float]:
        """The tokens and the money of the days that begin so."""
        query = (
            "SELECT COALESCE(SUM(input_tokens + output_tokens), 0), COALESCE(SUM(cost_usd), 0) FROM spending "
            "WHERE key_id = ? AND day GLOB ?"
        )
        with closing(self._connection.execute(query, (key_id, f"{days}*"))) as rows:
            tokens, cost = rows.fetchone()
        for (key, day), one in self._sums.items():
            if key == key_id and day.startswith(days):
                tokens, cost = tokens + one.input_tokens + one.output_tokens, cost + one.cost_usd
        return int(tokens), float(cost)

    def add(self, *, tenant: str, key_id: str, usage: Usage, at: float) -> None:
        """Count what a key spent at a time; written a moment later, or by `flush`."""
        day = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
        found = self._sums.get((key_id, day))
        if found is None:
            found = self._sums[key_id, day] = _Sum(tenant)
        found.input_tokens += usage.prompt_tokens
        found.output_tokens += usage.output_tokens + usage.reasoning_tokens
        found.cost_usd += usage.cost_usd or 0.0
        found.turns += 1

    def counted(self, run_id: str, seq: int, *, over_at: float | None = None) -> None:
        """The events of a run that somebody pays for are counted to number `seq`; `over_at`: when it was over, if it is."""
        owner = self.owner(run_id)
        if owner is not None:
            self._counted[run_id] = _Counted(*owner, seq, over_at)

    def counted_to(self, run_id: str) -> int:
        """The number of the last event of a run that was counted; 0: none."""
        if run_id in self._counted:
            return self._counted[run_id].seq
        query = "SELECT counted FROM owners WHERE run_id = ?"
        with closing(self._connection.execute(query, (run_id,))) as rows:
            found = rows.fetchone()
        return 0 if found is None else int(found[0])

    def counts_from(self) -> float:
        """Everything before this time (seconds since the epoch) was counted, if it ever will be."""
        with closing(self._connection.execute("SELECT name, at FROM marks")) as rows:
            marks = dict(rows.fetchall())
        return max(float(marks["begun"]), float(marks.get("written", 0.0)) - OVERLAP_S)

    async def keep(self) -> None:
        """Write what is counted, until cancelled; then write the rest."""
        try:
            while True:
                await anyio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what is counted, in one commit. What cannot be written waits for the next time."""
        if not self._sums and not self._counted:
            return
        try:
            self._write()
        except sqlite3.Error as error:
            if not self._is_failing:
                logger.warning("what keys spend is not written down, and will be: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False
            self._sums, self._counted = {}, {}

    def _write(self) -> None:
        db, now = self._connection, self._now()
        sums = [(one.tenant, *place, *msgspec.structs.astuple(one)[1:]) for place, one in self._sums.items()]
        runs = [(run_id, *msgspec.structs.astuple(one)) for run_id, one in self._counted.items()]
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(_ADD, sums)
            db.executemany(_COUNT, runs)
            db.execute("INSERT OR REPLACE INTO marks VALUES ('written', ?)", (now,))
            db.execute(_FORGET, (now - KEEP_OVER_S,))
            db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # SQLite has rolled some failures back itself
                db.execute("ROLLBACK")
            raise

    def own(self, run_id: str, *, tenant: str, key_id: str) -> None:
        """Record which key pays for a run; to be called before there is the run.

        Raises:
            AccessUnavailableError: it cannot be written.
        """
        with writing("who pays for a run", self._path):
            added = self._connection.execute(
                "INSERT OR IGNORE INTO owners (run_id, tenant, key_id) VALUES (?, ?, ?)",
                (run_id, tenant, key_id),
            ).rowcount
        if added:  # whoever paid first pays
            self._remember(run_id, tenant, key_id)

    def inherit(self, run_id: str, parent_id: str) -> tuple[str, str] | None:
        """A sub-agent spends for who called it: the tenant and the key; None: nobody's key."""
        owner = self.owner(parent_id)
        if owner is not None:
            self._remember(run_id, *owner)
        return owner

    def _remember(self, run_id: str, tenant: str, key_id: str) -> None:
        if len(self._owners) >= OWNERS_IN_MEMORY:
            del self._owners[next(iter(self._owners))]
        self._owners[run_id] = (tenant, key_id)

    def owner(self, run_id: str) -> tuple[str, str] | None:
        """The tenant and the key that pay for a run; None: nobody's key started it."""
        known = self._owners.get(run_id)
        if known is not None:
            return known
        if run_id in self._counted:
            return self._counted[run_id].tenant, self._counted[run_id].key_id
        with closing(
            self._connection.execute("SELECT tenant, key_id FROM owners WHERE run_id = ?", (run_id,))
        ) as rows:
            found = rows.fetchone()
        return None if found is None else (str(found[0]), str(found[1]))

    def days(self, *, tenant: str | None, since: str = "") -> Iterator[DaySpending]:
        """What was spent, a key and day; of one tenant if given, from day `since` on."""
        self.flush()
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


_ADD = (
    "INSERT INTO spending (tenant, key_id, day, input_tokens, output_tokens, cost_usd, turns) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (key_id, day) DO UPDATE SET input_tokens = input_tokens + excluded.input_tokens, "
    "output_tokens = output_tokens + excluded.output_tokens, cost_usd = cost_usd + excluded.cost_usd, "
    "turns = turns + excluded.turns"
)
_COUNT = (
    "INSERT INTO owners (run_id, tenant, key_id, counted, over_at) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (run_id) DO UPDATE SET counted = excluded.counted, over_at = excluded.over_at"
)
_FORGET = "DELETE FROM owners WHERE run_id IN (SELECT run_id FROM owners WHERE over_at < ? LIMIT 1000)"
"""A few each time: nobody waits long for it."""


def _add_columns(db: sqlite3.Connection) -> None:
    """A file of an older version has fewer."""
    columns = {row[1] for row in db.execute("PRAGMA table_info(owners)")}
    for name, kind in (("counted", "INTEGER NOT NULL DEFAULT 0"), ("over_at", "REAL")):
        if name not in columns:
            with suppress(sqlite3.OperationalError):  # of two processes that start at once, one is first
                db.execute(f"ALTER TABLE owners ADD COLUMN {name} {kind}")
