import zoneinfo

import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin import ClockPlugin
from agent_skills.builtin.clock import ClockReader, zones_in
from agent_skills.errors import PluginRefusedError
from agent_skills.testing import check_skill

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
NOON = 1_795_348_800.0  # Sunday, 22 November 2026, 12:00 UTC


class Stopped:
    def now(self):
        return NOON

    async def sleep(self, seconds): ...


@pytest.fixture
def registry():
    registry = SkillRegistry()
    registry.register("clock", ClockPlugin(Stopped(), "UTC"))
    return registry


TOLD = [
    ({"what": "time"}, "12:00"),
    ({"what": "date"}, "Sunday, 22 November 2026"),
    ({"what": "weekday"}, "Sunday"),
    ({"what": "time", "zone": "Asia/Tokyo"}, "21:00 in Tokyo"),
    ({"what": "time", "zone": "America/New_York"}, "07:00 in New York"),
    ({"what": "weekday", "zone": "Pacific/Kiritimati"}, "Monday in Kiritimati"),
    ({"what": "time", "zone": None}, "12:00"),
]


@pytest.mark.parametrize(("arguments", "told"), TOLD)
async def test_it_tells(registry, arguments, told):
    call = ToolCall(tool_call_id="c", name="clock", arguments=arguments)
    assert (await SkillRunner(registry).run(call, CONTEXT)).content == told


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\0b", "Europe"])
async def test_zones_that_are_none_are_refused(registry, zone):
    call = ToolCall(tool_call_id="c", name="clock", arguments={"what": "time", "zone": zone})
    result = await SkillRunner(registry).run(call, CONTEXT)
    assert result.error == "invalid_arguments"
    with pytest.raises(PluginRefusedError, match="no time zone"):
        SkillRegistry().register("clock", ClockPlugin(Stopped(), zone))


async def test_without_a_zone_it_is_the_machines(monkeypatch):
    registry = SkillRegistry()
    registry.register("clock", ClockPlugin(Stopped()))
    call = ToolCall(tool_call_id="c", name="clock", arguments={"what": "time"})
    assert (await SkillRunner(registry).run(call, CONTEXT)).content.endswith(":00")


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("what time is it in New York?", ["America/New_York"]),
        ("berlin time please", ["Europe/Berlin"]),
        ("what time is it", None),
        ("tokyoish", None),
    ],
)
def test_cities_in_a_request(text, zones):
    assert zones_in(text).get("zone") == zones


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("what time is it today", ["time"]),
        ("is today a Sunday?", ["weekday"]),
        ("which year do we have", ["date"]),
        ("time and date", ["time", "date"]),
        ("tell me", ["time", "date", "weekday"]),
    ],
)
def test_parts_in_a_request(text, parts):
    understood = ClockReader().read(text)
    assert understood.values == {"what": parts}
    assert understood.kinds == {"what": parts}
    assert understood.request == text


def test_the_zone_is_read_with_the_part():
    assert ClockReader().read("time in Tokyo").values == {"what": ["time"], "zone": ["Asia/Tokyo"]}


def test_the_kind_of_an_example_is_its_part(registry):
    reader = registry.get("clock").reader
    for example in registry.get("clock").spec.examples:
        read = reader.example(example)
        assert read.kinds == {"what": example.arguments["what"]}
        assert (read.shot, read.masked) == (example, example.utterance)


def test_it_is_a_good_skill(registry):
    clock = registry.get("clock")
    assert len(clock.spec.examples) >= 15
    assert check_skill(clock).content == "12:00"
    assert all(zoneinfo.ZoneInfo(example.arguments.get("zone", "UTC")) for example in clock.spec.examples)
