"""When a schedule is due: zones, clocks that are put forward and back, and expressions that are none."""

from datetime import UTC, datetime

import pytest

from agent_api.errors import InvalidRequestError
from agent_api.schedules.cron import next_at


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone", "after", "due"),
    [
        ("30 7 * * *", "UTC", "2026-11-22T07:29:59", "2026-11-22T07:30:00"),
        ("30 7 * * *", "UTC", "2026-11-22T07:30:00", "2026-11-23T07:30:00"),
        ("30 7 * * *", "Europe/Berlin", "2026-11-22T00:00:00", "2026-11-22T06:30:00"),
        ("30 7 * * MON-FRI", "UTC", "2026-11-22T00:00:00", "2026-11-23T07:30:00"),
        ("*/15 * * * *", "UTC", "2026-11-22T10:14:59", "2026-11-22T10:15:00"),
        ("0 0 29 2 *", "UTC", "2026-11-22T00:00:00", "2028-02-29T00:00:00"),
        ("0 12 L * *", "UTC", "2027-02-01T00:00:00", "2027-02-28T12:00:00"),
        ("@daily", "Asia/Kolkata", "2026-11-22T12:00:00", "2026-11-22T18:30:00"),
        # clocks go from 2 to 3: what falls between comes at 3
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        # clocks go from 3 back to 2: half past two comes once
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        # and every half hour goes on
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-25T01:00:00"),
    ],
)
def test_the_next_time(cron, zone, after, due):
    assert next_at(cron, zone, at(after)) == at(due)


@pytest.mark.parametrize(
    ("cron", "zone", "param", "says"),
    [
        ("", "UTC", "cron", "five fields"),
        ("* * * *", "UTC", "cron", "five fields"),
        ("* * * * * *", "UTC", "cron", "five fields"),
        ("60 * * * *", "UTC", "cron", "minute"),
        ("* * * * FUN", "UTC", "cron", "day-of-week"),
        ("*/0 * * * *", "UTC", "cron", "minute"),
        ("0 0 31 2 *", "UTC", "cron", "day-of-month"),
        ("0 0 31 4 MON", "Mars/Phobos", "time_zone", "Mars/Phobos"),
        ("0 0 * * *", "../../etc/passwd", "time_zone", "no time zone"),
        ("0 0 * * *", "", "time_zone", "no time zone"),
        ("1," * 99 + "1 * * * *", "UTC", "cron", "five fields"),
    ],
)
def test_what_is_no_time_is_refused_by_name(cron, zone, param, says):
    with pytest.raises(InvalidRequestError, match=says) as caught:
        next_at(cron, zone, at("2026-11-22T00:00:00"))
    assert caught.value.param == param
