"""What a question says about time ("last March", "two weeks ago", "in May 2023") as a span of time. Pure.

Own patterns and no library: dateparser 1.2 and parsedatetime 2.6 were tried (2026-11). Both give a moment and not a
span, take "we", "may", "dinner" and "second" for times, miss "last weekend", and dateparser takes 0.9 s to import. A
missed expression costs nothing but rank; one that was never there would hide what was asked for. English only.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

_MONTHS = {
    name.lower(): number
    for names in (calendar.month_name, calendar.month_abbr)
    for number, name in enumerate(names)
    if name
} | {"sept": 9}
_DAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
_NUMBERS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        start=1,
    )
} | {"a": 1, "an": 1, "a couple of": 2, "a few": 3}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first of three months (northern)."""

_MONTH = "(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_COUNT = r"(?P<count>\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time, in seconds since the epoch: from `start` until just before `end`."""

    start: float
    end: float
    words: str
    """The words that said so."""

    def holds(self, at: float) -> bool:
        """Whether the moment lies in the span."""
        return self.start <= at < self.end


def span_of(question: str, now: float) -> Span | None:
    """The time that `question` is about, or None where it names none. All times are UTC.

    Args:
        question: As a person asks it.
        now: Seconds since the epoch; what "yesterday" is the day before of.
    """
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for pattern, read in _PATTERNS:
        found = pattern.search(question)
        if found is None:
            continue
        try:
            start, end = read(found, today)
        except (ValueError, OverflowError):  # the 31st of June, or a time before all calendars
            continue
        return _bounded(question, found, start, end)
    return None


def _bounded(question: str, found: re.Match[str], start: datetime, end: datetime) -> Span:
    """The span, opened on one side by a word before it: before, until; after, since."""
    lead = re.search(r"\b(before|until|after|since)\s+(?:the\s+)?$", question[: found.start()], re.IGNORECASE)
    word = lead[1].lower() if lead else ""
    words = (f"{word} " if word else "") + found[0]
    if word in {"before", "until"}:
        return Span(start=0.0, end=start.timestamp() if word == "before" else end.timestamp(), words=words)
    if word in {"after", "since"}:
        begin = end if word == "after" else start
        return Span(start=begin.timestamp(), end=float("inf"), words=words)
    return Span(start=start.timestamp(), end=end.timestamp(), words=words)


_Read = Callable[[re.Match[str], datetime], tuple[datetime, datetime]]


def _day(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    start = datetime(year, month, day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def _months(year: int, month: int, count: int = 1) -> tuple[datetime, datetime]:
    """`count` months from the first of `month`, which may be outside of 1 to 12."""
    last = month - 1 + count
    return (
        datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC),
        datetime(year + last // 12, last % 12 + 1, 1, tzinfo=UTC),
    )


def _iso(found: re.Match[str], _: datetime) -> tuple[datetime, datetime]:
    return _day(int(found[1]), int(found[2]), int(found[3]))


def _date(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """A day and a month, perhaps with a year: without one, the latest that is not to come."""
    month, day = _MONTHS[found["month"].lower()], int(found["day"])
    if found["year"]:
        return _day(int(found["year"]), month, day)
    start, end = _day(today.year, month, day)
    return (start, end) if start <= today else _day(today.year - 1, month, day)


def _month_of_year(found: re.Match[str], _: datetime) -> tuple[datetime, datetime]:
    return _months(int(found["year"]), _MONTHS[found["month"].lower()])


def _season_of_year(found: re.Match[str], _: datetime) -> tuple[datetime, datetime]:
    return _months(int(found["year"]), _SEASONS[found["season"].lower()], 3)


def _year(found: re.Match[str], _: datetime) -> tuple[datetime, datetime]:
    return _months(int(found["year"]), 1, 12)


def _month(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """In March, last March: the latest March that has begun; with "last", not the one that is now."""
    month = _MONTHS[found["month"].lower()]
    past = month < today.month or (month == today.month and found["lead"].lower() != "last")
    return _months(today.year if past else today.year - 1, month)


def _season(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    start = _SEASONS[found["season"].lower()]
    begun = today.month >= start
    over = today.month >= start + 3
    this = found["lead"].lower() == "this"
    return _months(today.year if (over or (begun and this)) else today.year - 1, start, 3)


def _relative_day(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    back = {"today": 0, "tonight": 0, "this morning": 0, "yesterday": 1, "last night": 1}
    start = today - timedelta(days=back.get(found[0].lower(), 2))
    return start, start + timedelta(days=1)


def _period(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """Last or this week, weekend, month, year."""
    unit, last = found["unit"].lower(), found["lead"].lower() != "this"
    monday = today - timedelta(days=today.weekday())
    match unit:
        case "week":
            start = monday - timedelta(days=7 * last)
            return start, start + timedelta(days=7)
        case "weekend":
            # Said on a Sunday, the last weekend is the one before.
            saturday = monday + timedelta(days=5 - 7 * last)
            return saturday, saturday + timedelta(days=2)
        case "month":
            return _months(today.year, today.month - last)
        case _:
            return _months(today.year - last, 1, 12)


def _weekday(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """Last Monday, on Monday: the latest before today."""
    back = (today.weekday() - _DAYS[found["weekday"].lower()] - 1) % 7 + 1
    start = today - timedelta(days=back)
    return start, start + timedelta(days=1)


def _ago(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """Some days, weeks, months or years ago: as wide as people mean it."""
    said = found["count"].lower()
    count = int(said) if said.isdigit() else _NUMBERS[said]
    match found["unit"].lower():
        case "day":
            start = today - timedelta(days=count)
            return start, start + timedelta(days=1)
        case "week":
            middle = today - timedelta(days=7 * count)
            return middle - timedelta(days=4), middle + timedelta(days=5)
        case "month":
            return _months(today.year, today.month - count)
        case _:
            return _months(today.year - count, 1, 12)


def _past(found: re.Match[str], today: datetime) -> tuple[datetime, datetime]:
    """In the last three weeks: until now."""
    said = (found["count"] or "1").lower()
    count = int(said) if said.isdigit() else _NUMBERS[said]
    days = {"day": 1, "week": 7, "month": 31, "year": 366}[found["unit"].lower()]
    return today - timedelta(days=days * count), today + timedelta(days=1)


_UNIT = "(?P<unit>day|week|month|year)s?"
_PATTERNS: tuple[tuple[re.Pattern[str], _Read], ...] = tuple(
    (re.compile(rf"\b{pattern}\b", re.IGNORECASE), read)
    for pattern, read in (
        (r"((?:19|20)\d\d)-(\d\d)-(\d\d)", _iso),
        (rf"{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?", _date),
        (rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _date),
        (rf"{_MONTH}(?:\s+of)?,?\s+{_YEAR}", _month_of_year),
        (rf"(?P<season>spring|summer|autumn|fall|winter)(?:\s+of)?,?\s+{_YEAR}", _season_of_year),
        (rf"{_COUNT}\s+{_UNIT}\s+ago", _ago),
        (rf"(?:in|over|during|within)\s+the\s+(?:last|past)\s+(?:{_COUNT}\s+)?{_UNIT}", _past),
        (r"(?:the day before yesterday|yesterday|today|tonight|this morning|last night)", _relative_day),
        (r"(?P<lead>last|this|past)\s+(?P<unit>weekend|week|month|year)", _period),
        (r"(?P<lead>last|this)\s+(?P<season>spring|summer|autumn|fall|winter)", _season),
        (rf"(?:last|on|this past)\s+(?P<weekday>{'|'.join(_DAYS)})", _weekday),
        (rf"(?P<lead>last|in|during|since|before|after|this)\s+{_MONTH}", _month),
        (_YEAR, _year),
    )
)
