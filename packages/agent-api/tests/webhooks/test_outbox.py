"""What is owed: once by its id, again and again until it comes through, later each time, and not for ever."""

import itertools
import sqlite3

import anyio
import pytest

from agent_api.records import open_records
from agent_api.webhooks import outbox
from agent_api.webhooks.outbox import Attempt, News

DAY = 86_400.0


@pytest.fixture
def db(tmp_path):
    async def make():
        await (await open_records(tmp_path)).close()

    anyio.run(make)
    with sqlite3.connect(tmp_path / "records.db", isolation_level=None) as opened:
        for webhook_id, events in (("all", "run.done run.failed"), ("failed", "run.failed")):
            opened.execute(
                "INSERT INTO webhooks VALUES (?, 'https://x', '', ?, 'k', 1, 0, 100, NULL, NULL, '')",
                (webhook_id, events),
            )
        yield opened
    opened.close()


def news(number, kind="run.done", at=200.0):
    return News(message_id=f"msg_{number}", type=kind, at=at, data={"number": number})


def claimed(db, now):
    return [one.message_id for one in outbox.claim(db, now, 10, [])]


def test_a_webhook_is_owed_what_it_listens_to_once(db):
    told = [news(1), news(2, "run.failed"), news(3, at=99.0)]
    assert outbox.owe(db, told, 200.0) == 3
    assert outbox.owe(db, told, 300.0) == 0
    rows = db.execute("SELECT webhook_id, message_id FROM deliveries ORDER BY number").fetchall()
    assert rows == [("all", "msg_1"), ("all", "msg_2"), ("failed", "msg_2")]


def test_what_is_claimed_is_nobody_elses_until_the_lease_is_over(db):
    outbox.owe(db, [news(1)], 200.0)
    assert claimed(db, 199.0) == []
    assert claimed(db, 200.0) == ["msg_1"]
    assert claimed(db, 200.0 + outbox.LEASE_S - 1) == []
    assert claimed(db, 200.0 + outbox.LEASE_S) == ["msg_1"]


def test_attempts_come_later_each_time_over_hours_and_end(db):
    outbox.owe(db, [news(1)], 200.0)
    now, times = 200.0, []
    while (due_at := outbox.next_due(db)) is not None:
        now = due_at
        (owed,) = outbox.claim(db, now, 10, [])
        assert outbox.settle(db, owed, Attempt(at=now, status=500, error="it answered 500")) == ""
        times.append(now)
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits == sorted(waits)
    assert [round(wait / planned) for wait, planned in zip(waits, outbox.RETRY_S, strict=True)] == [1] * 8
    assert 24 * 3600 < times[-1] - times[0] < 40 * 3600
    assert db.execute("SELECT status, attempts, last_error FROM deliveries").fetchone() == (
        "failed",
        9,
        "it answered 500",
    )


def test_one_that_comes_through_ends_the_failing(db):
    outbox.owe(db, [news(1), news(2)], 200.0)
    first, second = outbox.claim(db, 200.0, 10, [])
    outbox.settle(db, first, Attempt(at=201.0, error="no connection could be made"))
    assert db.execute("SELECT failing_since FROM webhooks").fetchone() == (201.0,)
    outbox.settle(db, second, Attempt(at=202.0, status=204))
    assert db.execute("SELECT failing_since FROM webhooks").fetchone() == (None,)


@pytest.mark.parametrize(("status", "at", "says"), [(500, 200 + 3 * DAY, "for 3 days"), (410, 201.0, "410")])
def test_a_webhook_that_nothing_comes_through_to_is_disabled(db, status, at, says):
    outbox.owe(db, [news(1), news(2)], 200.0)
    first, second = outbox.claim(db, 200.0, 10, [])
    if status == 500:
        assert outbox.settle(db, first, Attempt(at=200.0, error="x")) == ""
    assert says in outbox.settle(db, second, Attempt(at=at, status=status, error="x"))
    assert outbox.next_due(db) is None
    assert outbox.claim(db, at + DAY, 10, []) == []
    assert outbox.owe(db, [news(3)], at) == 0
    assert db.execute("SELECT disabled_at FROM webhooks WHERE webhook_id = 'all'").fetchone() == (at,)


def test_the_log_ends_and_who_never_listens_is_disabled(db, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_OWED", 2)
    outbox.owe(db, [news(number) for number in range(3)], 200.0)
    assert outbox.upkeep(db, 300.0) == [("all", "it was owed 3 deliveries")]
    assert outbox.upkeep(db, 300.0) == []
    outbox.upkeep(db, 200.0 + outbox.KEEP_S + 1)
    assert db.execute("SELECT count(*) FROM deliveries").fetchone() == (0,)
