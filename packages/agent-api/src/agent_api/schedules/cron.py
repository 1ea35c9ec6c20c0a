"""When a schedule is due: five fields as Debian's cron reads them, in a time zone. Pure.

Where clocks are put forward, what falls into the gap comes at its end; where they are put back, what names an hour comes once,
and what comes every hour or minute goes on (cron(8); the library `cronsim` keeps to it).
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agent_api.errors import InvalidRequestError

MAX_CHARS = 200
FIELDS = 5
_NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def checked_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidRequestError(
            f"there is no time zone {name!r}; names are those of IANA, such as Europe/Berlin",
            param="time_zone",
        ) from error


def next_at(cron: str, time_zone: str, after: float) -> float:
    """The first time behind `after` (seconds since the epoch) that the expression fits.

    Raises:
        InvalidRequestError: the expression is none, never fits, or the time zone is none.
    """
    zone = checked_zone(time_zone)
    text = _NAMES.get(cron.strip().lower(), cron)
    if len(text) > MAX_CHARS or len(text.split()) != FIELDS:
        raise InvalidRequestError(
            f"{cron[:80]!r} is no cron expression: it has five fields (minute, hour, day of the month, month, day of "
            "the week), such as `30 7 * * MON-FRI`",
            param="cron",
        )
    try:
        return next(CronSim(text, datetime.fromtimestamp(after, zone))).timestamp()
    except (CronSimError, AssertionError, OverflowError) as error:
        raise InvalidRequestError(f"{cron!r} is no cron expression: {error}", param="cron") from error
    except StopIteration:
        raise InvalidRequestError(f"{cron!r} never comes", param="cron") from None
