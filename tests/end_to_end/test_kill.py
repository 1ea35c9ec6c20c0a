"""`kill -9` at any moment: the run is resumed, ends with the same answer, and its journal has no gap and no repeat.

The boundaries are tried on a scripted model; by `pytest -m slow` on the embedded one too, and at more moments.
"""

import json
import random
import signal
import sys
import time
from functools import partial
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


@pytest.fixture(params=["scripted", pytest.param("embedded", marks=pytest.mark.slow)])
def asked(request, agent, scripted_model):
    """The command line over one of the models, a prompt that takes one tool call, and the answer to it."""
    if request.param == "embedded":
        return agent, PROMPT, ANSWER
    scripted = {"AGENT_MODEL": "openai:scripted", "AGENT_BASE_URL": f"{scripted_model}/v1"}
    return partial(agent, **scripted), "calls=1 words=3", "w0 w1 w2"


def test_these_are_all_the_boundaries(asked):
    agent, prompt, _ = asked
    ended = agent("run", prompt, command=[*KILLED, "before", str(APPENDS + 1)])
    assert ended.code == 0
    last = agent("run", prompt, command=[*KILLED, "before", str(APPENDS)])
    assert last.code == -signal.SIGKILL


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, APPENDS + 1))
def test_killed_at_a_boundary_of_the_journal(asked, when, at):
    agent, prompt, answer = asked
    killed = agent("run", prompt, command=[*KILLED, when, str(at)])
    assert killed.code == -signal.SIGKILL
    resumed = agent("runs", "resume", "--json")
    if (when, at) == ("before", 1):
        assert resumed.code == 3, "nothing was journaled, so there is nothing to resume"
        return
    assert resumed.code == 0, resumed.err
    assert resumed.answer.strip() == answer
    events = journal_of(agent, resumed.events[-1]["run_id"])
    assert is_whole(events), events


def test_a_run_that_is_over_is_resumed_to_nothing_but_its_answer(asked):
    agent, prompt, answer = asked
    assert agent("run", prompt, command=[*KILLED, "after", "3"]).code == -signal.SIGKILL
    resumed = agent("runs", "resume", "--json")
    run_id = resumed.events[-1]["run_id"]
    events = journal_of(agent, run_id)
    again = agent("runs", "resume", "--json")
    assert again.answer == resumed.answer, "a run that is over shows its answer"
    assert again.answer.strip() == answer
    assert journal_of(agent, run_id) == events, "and does nothing"


def test_killed_twice_is_resumed_twice(agent):
    agent("run", PROMPT, command=[*KILLED, "after", "2"])
    assert agent("runs", "resume", command=[*KILLED, "after", "1"]).code == -signal.SIGKILL
    resumed = agent("runs", "resume", "--json")
    assert resumed.answer == ANSWER
    assert is_whole(journal_of(agent, resumed.events[-1]["run_id"]))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 8))])
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
