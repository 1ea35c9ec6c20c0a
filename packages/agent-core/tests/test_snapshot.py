"""States as bytes: a shortcut that never lies, and that nobody misses."""

from pathlib import Path

import pytest

from agent_core import Limits, Phase, RunState
from agent_core import events as ev
from agent_core.codec import SCHEMA_VERSION, decode
from agent_core.errors import JournalUnavailableError
from agent_core.lessons import Lesson
from agent_core.limits import Spent
from agent_core.planning import CallState
from agent_core.progress import Progress, Seen
from agent_core.snapshot import SNAPSHOT_EVERY, SNAPSHOT_VERSION, pack, unpack
from agent_core.testing import InMemoryJournal, ScriptedTools, answer, call
from agent_core.tools import Label, ToolSpec
from agent_core.transitions import replay

JOURNALS = sorted((Path(__file__).parent / "golden" / f"version_{SCHEMA_VERSION}").glob("*.jsonl"))
UNLIMITED = Limits(turns=None, tool_calls=None)


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_the_state_after_every_event_survives(path):
    events = [decode(line) for line in path.read_bytes().splitlines()]
    for length in range(1, len(events) + 1):
        state = replay("run_1", events[:length])
        assert unpack(pack(state)) == state


@pytest.mark.parametrize("phase", Phase)
def test_a_state_in_any_phase_survives(state_in, phase):
    assert unpack(pack(state_in(phase))) == state_in(phase)


def test_what_is_damaged_or_of_another_version_is_passed_over(state_in):
    body = pack(state_in(Phase.AWAITING))
    assert unpack(b"") is None
    assert unpack(b"0:" + body[len(SNAPSHOT_VERSION) :]) is None
    assert unpack(body[:-5]) is None
    assert unpack(SNAPSHOT_VERSION + b"rubbish") is None
    for place in range(len(body)):
        damaged = body[:place] + bytes([body[place] ^ 0x55]) + body[place + 1 :]
        assert unpack(damaged) is None


def test_the_version_is_raised_with_the_shape_of_a_state():
    """Where this fails, raise SNAPSHOT_VERSION, and then write down the new shape."""
    shape = {
        cls.__name__: cls.__struct_fields__ for cls in (RunState, CallState, Progress, Seen, Lesson, Spent)
    }
    assert (SNAPSHOT_VERSION, {name: len(fields) for name, fields in shape.items()}) == (
        b"4:",
        {"RunState": 27, "CallState": 13, "Progress": 4, "Seen": 3, "Lesson": 3, "Spent": 4},
    )


async def test_a_long_run_that_rests_is_kept_and_loaded_without_its_first_events(runner_of):
    class Counting(InMemoryJournal):
        read_after: list[int]

        async def read(self, run_id, after=0):
            self.read_after.append(after)
            async for stored in super().read(run_id, after):
                yield stored

    journal = Counting()
    journal.read_after = []
    script = [call("text", {"object": number}) for number in range(SNAPSHOT_EVERY)] + [answer("done")]
    runner = runner_of(script, {"text": str}, journal=journal, snapshots=journal)
    state = await runner.run("go", limits=UNLIMITED)
    journal.read_after.clear()
    assert await runner.load(state.run_id) == state
    assert journal.read_after == [state.seq]


async def test_a_run_that_rests_often_is_kept_as_well(runner_of):
    journal = InMemoryJournal()
    wipe = ToolSpec(name="wipe", description="", parameters={}, labels=(Label.DESTROYS,))
    tools = ScriptedTools({"wipe": lambda nth: f"wiped {nth}"}, specs=[wipe])
    runner = runner_of(
        [lambda request: call("wipe", {"nth": len(request.messages)})],
        tools,
        journal=journal,
        snapshots=journal,
    )
    state = await runner.run("go", limits=UNLIMITED)
    rests = []
    while state.seq < 3 * SNAPSHOT_EVERY:
        (asked,) = state.calls
        granted = ev.ApprovalGranted(at=1.0, tool_call_id=asked, by="ann")
        rests += [state.seq, (await runner.send(state.run_id, granted)).seq]
        state = await runner.drive(state.run_id)
        due = [seq for seq in (*rests, state.seq) if seq >= state.seq // SNAPSHOT_EVERY * SNAPSHOT_EVERY]
        kept = journal.snapshots.get(state.run_id, (0, b""))[0]
        assert kept == (due[0] if state.seq >= SNAPSHOT_EVERY else 0)


async def test_a_short_run_is_not_kept(runner_of):
    journal = InMemoryJournal()
    await runner_of([answer("hi")], journal=journal, snapshots=journal).run("go")
    assert journal.snapshots == {}


async def test_a_store_that_fails_costs_the_run_nothing(runner_of):
    class Full(InMemoryJournal):
        async def save_snapshot(self, run_id, seq, body):
            raise JournalUnavailableError("snapshots", "no space left")

    journal = Full()
    script = [call("text", {"object": number}) for number in range(SNAPSHOT_EVERY)] + [answer("done")]
    runner = runner_of(script, {"text": str}, journal=journal, snapshots=journal)
    assert (await runner.run("go", limits=UNLIMITED)).answer == "done"
