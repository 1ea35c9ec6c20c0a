"""The skill `clock`: the time, the date or the weekday, here or in a named time zone."""

import functools
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Literal

from agent_core.ports import Clock
from agent_core.tools import ToolExample
from agent_skills.errors import SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.reading import PlainReader, ReadExample, Understood
from agent_skills.skill import skill

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WORDS = {
    "time": re.compile(r"\b(time|late|early|hours?|clock|noon|midnight|minutes?)\b"),
    "date": re.compile(r"\b(date|month|year)\b"),
    "weekday": re.compile(r"\b(day|week|\w+day)\b"),
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_EXAMPLES = (
    ("what time is it now?", {"what": "time"}),
    ("what's the time", {"what": "time"}),
    ("tell me the time", {"what": "time"}),
    ("time?", {"what": "time"}),
    ("can you say what time we have", {"what": "time"}),
    ("do you have the time", {"what": "time"}),
    ("how late is it now", {"what": "time"}),
    ("current time please", {"what": "time"}),
    ("what hour is it", {"what": "time"}),
    ("look at the clock", {"what": "time"}),
    ("please give me the exact time", {"what": "time"}),
    ("is it past noon already?", {"what": "time"}),
    ("what is today's date?", {"what": "date"}),
    ("tell me the date", {"what": "date"}),
    ("what date is it", {"what": "date"}),
    ("date please", {"what": "date"}),
    ("which date do we have today", {"what": "date"}),
    ("what month is it", {"what": "date"}),
    ("which year do we have", {"what": "date"}),
    ("what is the current year", {"what": "date"}),
    ("give me the current date", {"what": "date"}),
    ("what day is it", {"what": "weekday"}),
    ("which weekday is today", {"what": "weekday"}),
    ("is today a Sunday?", {"what": "weekday"}),
    ("what day of the week is it today", {"what": "weekday"}),
    ("tell me which day of the week we have", {"what": "weekday"}),
    ("is it Friday?", {"what": "weekday"}),
    ("what day is it today", {"what": "weekday"}),
    ("check the time for me", {"what": "time"}),
    ("what does the clock say", {"what": "time"}),
    ("what is the time right now", {"what": "time"}),
    ("have you got the time", {"what": "time"}),
    ("give me the hour", {"what": "time"}),
    ("the time in hours and minutes", {"what": "time"}),
    ("is it still morning", {"what": "time"}),
    ("how long until midnight", {"what": "time"}),
    ("has midday passed", {"what": "time"}),
    ("which month is it now", {"what": "date"}),
    ("what month are we in", {"what": "date"}),
    ("tell me the current year", {"what": "date"}),
    ("what year are we living in", {"what": "date"}),
    ("I need the current date for a form", {"what": "date"}),
    ("what is the day of the month", {"what": "date"}),
    ("today is the what of the month", {"what": "date"}),
    ("are we already in December", {"what": "date"}),
    ("is it the weekend yet", {"what": "weekday"}),
    ("remind me what day it is", {"what": "weekday"}),
    ("today is which day of the week", {"what": "weekday"}),
    ("day of the week?", {"what": "weekday"}),
    ("name of today's weekday", {"what": "weekday"}),
    ("what time is it in Tokyo?", {"what": "time", "zone": "Asia/Tokyo"}),
    ("time in New York right now", {"what": "time", "zone": "America/New_York"}),
    ("What is the date in Sydney?", {"what": "date", "zone": "Australia/Sydney"}),
)


class ClockPlugin:
    """Brings the clock."""

    def __init__(self, clock: Clock, zone: str = "") -> None:
        """`zone`: an IANA name such as `Europe/Berlin`; empty: the machine's own zone."""
        self._clock = clock
        self._zone = zone

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register `clock`."""
        _find_zone(self._zone)
        decorate = skill(
            name="clock",
            examples=_EXAMPLES,
            idempotent=True,
            timeout_s=5.0,
            answer="It is {result}.",
            reader=ClockReader(),
        )
        register(decorate(self._tell))

    def _tell(self, what: Literal["time", "date", "weekday"], zone: str = "") -> str:
        """Tell the current time, the date of today or the day of the week.

        Args:
            what: Which of the three.
            zone: The IANA name of a time zone, such as Europe/Berlin. Left out: here.
        """
        name = zone or self._zone
        now = datetime.fromtimestamp(self._clock.now(), tz=_find_zone(name))
        now = now if name else now.astimezone()
        where = f" in {_place(zone)}" if zone else ""
        # No strftime: its names follow the locale of the process.
        match what:
            case "time":
                return f"{now.hour:02}:{now.minute:02}{where}"
            case "date":
                return f"{_WEEKDAYS[now.weekday()]}, {now.day} {_MONTHS[now.month - 1]} {now.year}{where}"
            case "weekday":
                return f"{_WEEKDAYS[now.weekday()]}{where}"


class ClockReader(PlainReader):
    """Reads which part is asked for, by its words: left to choose freely, a small model takes any of the three."""

    def read(self, text: str) -> Understood | None:
        """The parts that the words speak of, or all; and the zone, where a city is named."""
        words = re.sub(r"\btoday\b", "", text.lower())
        parts = [part for part, pattern in _WORDS.items() if pattern.search(words)] or list(_WORDS)
        return Understood(request=text, values={"what": parts, **zones_in(text)}, kinds={"what": parts})

    def example(self, example: ToolExample) -> ReadExample:
        """The example; the kind of a part is the part."""
        kinds = {"what": str(example.arguments["what"])}
        return ReadExample(shot=example, masked=example.utterance, kinds=kinds)


def zones_in(text: str) -> Mapping[str, Sequence[str]]:
    """The time zones whose city is named in a text; without one, the argument `zone` stays open."""
    words = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
    found = [zone for city, zone in _cities().items() if f" {city} " in f" {words} "]
    return {"zone": sorted(found, key=len)} if found else {}


@functools.cache
def _cities() -> Mapping[str, str]:
    zones = (
        zone for zone in sorted(zoneinfo.available_timezones()) if zone[0] in "AEIP" and zone.count("/") == 1
    )
    return {_place(zone).lower(): zone for zone in zones}


def _place(zone: str) -> str:
    return zone.rpartition("/")[2].replace("_", " ")


def _find_zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SkillFailedError(
            f"there is no time zone {name!r}; give an IANA name such as Europe/Berlin",
            code="invalid_arguments",
        ) from None
