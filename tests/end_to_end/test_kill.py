"""`kill -9` at any moment: the run is resumed, ends with the same answer, and its journal has no gap and no repeat."""

import json
import random
import signal
import sys
import time
from pathlib import Path

import pytest

PROMPT = "What is 17*23?"
ANSWER = "17 * 23 = 391"
APPENDS = 6
"""How often a run of one tool call appends; `test_these_are_all_the_boundaries` holds this number."""
KILLED = [sys.executable, str(Path(__file__).parent / "killed_agent.py")]

pytestmark = pytest.mark.model


def journal_of(agent, run_id):
    return [json.loads(line) for line in agent("runs", "show", run_id, "--json").out.splitlines()]


def is_whole(events):
    """No gap, no repeat, and one event of each kind that happens once."""
    types = [event["type"] for event in events]
    return [event["seq"] for event in events] == list(range(1, len(events) + 1)) and types.count(
        "tool.returned"
    ) == types.count("tools.called") == types.count("run.finished") == 1


def test_these_are_all_the_boundaries(agent):
    ended = agent("run", PROMPT, command=[*KILLED, "before", str(APPENDS + 1)])
    assert ended.code == 0
    last = agent("run", PROMPT, command=[*KILLED, "before", str(APPENDS)])
    assert last.code == -signal.SIGKILL


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, APPENDS + 1))
def test_killed_at_a_boundary_of_the_journal(agent, when, at):
    killed = agent("run", PROMPT, command=[*KILLED, when, str(at)])
    assert killed.code == -signal.SIGKILL
    resumed = agent("runs", "resume", "--json")
    if (when, at) == ("before", 1):
        assert resumed.code == 3, "nothing was journaled, so there is nothing to resume"
        return
    assert resumed.code == 0, resumed.err
    assert resumed.answer == ANSWER
    events = journal_of(agent, resumed.events[-1]["run_id"])
    assert is_whole(events), events
    again = agent("runs", "resume", "--json")
    assert again.answer == ANSWER, "a run that is over shows its answer"
    assert journal_of(agent, resumed.events[-1]["run_id"]) == events, "and does nothing"


def test_killed_twice_is_resumed_twice(agent):
    agent("run", PROMPT, command=[*KILLED, "after", "2"])
    assert agent("runs", "resume", command=[*KILLED, "after", "1"]).code == -signal.SIGKILL
    resumed = agent("runs", "resume", "--json")
    assert resumed.answer == ANSWER
    assert is_whole(journal_of(agent, resumed.events[-1]["run_id"]))


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment(agent, start, seed):
    running = start("run", PROMPT)
    time.sleep(random.Random(seed).uniform(0.3, 3.0))  # the moment is the point; no outcome depends on it
    running.kill()
    running.wait()
    resumed = agent("runs", "resume", "--json")
    if resumed.code == 3:
        assert agent("runs", "list", "--json").out == ""
        return
    assert resumed.answer == ANSWER
    assert is_whole(journal_of(agent, resumed.events[-1]["run_id"]))


def test_a_run_is_driven_by_one_process_at_a_time(agent, start):
    running = start("run", "Tell me a long story about the sea.")
    assert running.stdout.read(5)
    running.send_signal(signal.SIGSTOP)  # alive, and slow enough to be looked at
    row = json.loads(agent("runs", "list", "--json").out)
    assert row["status"] == "running"
    busy = agent("runs", "resume", row["run_id"])
    assert busy.code == 1
    assert "driven by another process" in busy.err
    cancelled = agent("runs", "cancel", row["run_id"])
    assert cancelled.code == 0
    running.send_signal(signal.SIGCONT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "cancelled by" in err
