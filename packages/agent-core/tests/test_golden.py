"""Journals that were written once and must lead to the same state for ever, whatever the machine becomes."""

from pathlib import Path

import pytest

from agent_core.codec import decode, encode
from agent_core.planning import CallStatus
from agent_core.state import Phase
from agent_core.transitions import owed, replay
from agent_core.upcasters import SCHEMA_VERSION

GOLDEN = Path(__file__).parent / "golden"
RETURNED, FAILED, ASKED = CallStatus.RETURNED, CallStatus.FAILED, CallStatus.ASKED

FACTS = {
    "one_tool": {
        "phase": Phase.DONE,
        "answer": "It is 42.",
        "seq": 8,
        "calls": {"call_1_0": RETURNED},
        "errors": [""],
        "tokens": 9,
        "turns": 2,
    },
    "parallel_failure_and_retry": {
        "phase": Phase.DONE,
        "answer": "two of three",
        "seq": 14,
        "calls": {"a": RETURNED, "b": FAILED, "c": RETURNED},
        "errors": ["", "failed", ""],
        "tokens": 7,
        "turns": 2,
    },
    "approval_denied": {
        "phase": Phase.DONE,
        "answer": "as you wish",
        "seq": 9,
        "calls": {"a": FAILED},
        "errors": ["denied"],
        "tokens": 7,
        "turns": 2,
    },
    "plan_with_a_blocked_call": {
        "phase": Phase.DONE,
        "answer": "It is noon.",
        "seq": 9,
        "calls": {"a": FAILED, "b": FAILED, "c": RETURNED, "d": FAILED},
        "errors": ["unreachable", "skipped", "", "skipped"],
        "tokens": 147,
        "turns": 2,
    },
    "plan_with_references": {
        "phase": Phase.DONE,
        "answer": "done",
        "seq": 19,
        "calls": {"p3": FAILED},
        "errors": ["", "", "invalid_plan"],
        "tokens": 17,
        "turns": 4,
    },
    "limit_reached": {
        "phase": Phase.DONE,
        "answer": "what I have",
        "seq": 12,
        "calls": {"call_2_0": RETURNED},
        "errors": ["", ""],
        "tokens": 12,
        "turns": 3,
    },
    "cancelled": {
        "phase": Phase.CANCELLED,
        "answer": "",
        "seq": 5,
        "calls": {"call_1_0": ASKED},
        "errors": [],
        "tokens": 1,
        "turns": 1,
    },
}


VERSIONS = range(1, SCHEMA_VERSION + 1)


def lines_of(name, version=SCHEMA_VERSION):
    return (GOLDEN / f"version_{version}" / f"{name}.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FACTS)
def test_a_golden_journal_leads_to_the_same_state(name, version):
    state = replay("", [decode(line) for line in lines_of(name, version)])
    assert {
        "phase": state.phase,
        "answer": state.answer,
        "seq": state.seq,
        "calls": {key: call.status for key, call in state.calls.items()},
        "errors": [result.error for message in state.messages for result in message.tool_results],
        "tokens": state.usage.total_tokens,
        "turns": state.spent.turns,
    } == FACTS[name]
    assert owed(state) == ()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FACTS)
def test_a_golden_journal_is_written_as_this_version_writes_it(name, version):
    assert [encode(decode(line)) for line in lines_of(name, version)] == lines_of(name)


def test_every_golden_journal_is_replayed():
    assert {path.name for path in GOLDEN.iterdir()} == {f"version_{version}" for version in VERSIONS}
    for version in VERSIONS:
        assert {path.stem for path in (GOLDEN / f"version_{version}").iterdir()} == set(FACTS)


def test_details_of_the_golden_journals():
    cancelled = replay("", [decode(line) for line in lines_of("cancelled")])
    assert cancelled.error == "cancelled by ann: changed my mind"
    limited = replay("", [decode(line) for line in lines_of("limit_reached")])
    assert (limited.limit_reached, limited.limits.turns) == ("turns", 2)
    planned = replay("", [decode(line) for line in lines_of("plan_with_a_blocked_call")])
    assert planned.usage.cost_usd == 0.75
    assert planned.spent.wall_time_s == 4.0
    referring = replay("", [decode(line) for line in lines_of("plan_with_references")])
    assert [call.call.arguments for call in referring.finished.values()] == [
        {"to": "ann@x"},
        {"q": "ann"},
        {"v": "ann@x", "w": {"mails": ["ann@x"]}},
    ]
    assert referring.spent.tool_calls == 7
    assert [lesson.fixed_by for lesson in referring.lessons if lesson.tool == "echo"] == [
        '{"v":"ann@x","w":{"mails":["ann@x"]}}'
    ]
