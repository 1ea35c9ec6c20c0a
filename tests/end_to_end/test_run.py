"""`agent run` as a person meets it: the main job, and everything that can go wrong with it."""

import json
import signal
import time
from pathlib import Path

import pytest

PROMPT = "What is 17*23?"

pytestmark = pytest.mark.model


def test_the_model_calls_the_calculator_and_answers(agent):
    ran = agent("run", PROMPT, "--json")
    assert ran.code == 0, ran.err
    events = ran.events
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types[0] == "run.started"
    assert types[-1] == "run.finished"
    called = next(event for event in events if event["type"] == "tools.called")
    (call,) = called["parts"]
    assert call["name"] == "calculator"
    assert called["usage"]["output"] > 0, "the model wrote the argument"
    assert next(event for event in events if event["type"] == "tool.returned")["content"] == "391"
    last = events[-1]
    assert last["status"] == "done"
    assert "391" in last["answer"]
    assert last["usage"]["output"] > 0
    shown = agent("runs", "show", last["run_id"], "--json")
    assert shown.out == ran.out, "what was printed is what is in the journal"


def test_the_answer_alone_is_on_standard_output(agent):
    ran = agent("run", "Read todo.md")
    assert (ran.code, ran.err) == (0, "")
    assert "water the plants" in ran.out


def test_small_talk_calls_no_tool(agent):
    ran = agent("run", "Hello!", "--json")
    assert "tools.called" not in [event["type"] for event in ran.events]
    assert ran.answer


def test_runs_are_listed_with_how_they_ended(agent):
    assert "no runs yet" in agent("runs", "list").err
    agent("run", PROMPT)
    (row,) = [json.loads(line) for line in agent("runs", "list", "--json").out.splitlines()]
    assert (row["status"], row["prompt"]) == ("done", PROMPT)
    assert PROMPT in agent("runs", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "hi", "--model", "nobody:knows"), 2, "no model 'nobody:knows'"),
        (("run", "hi", "--model", "local:./missing.gguf"), 5, "there is no such file"),
        (("run", "hi", "--model", "local:./todo.gguf"), 5, "GGUF"),
        (("run", "hi", "--model", "openai:x", "--base-url", "http://127.0.0.1:9/v1"), 5, "no connection"),
        (("run", "hi", "--model", "openai:x", "--base-url", "nonsense"), 2, "begins with http"),
        (("run", "hi", "--workspace", "nowhere"), 2, "is no folder"),
        (("run", "   "), 2, "the prompt is empty"),
        (("runs", "show", "run_none"), 3, "no run 'run_none'"),
        (("runs", "resume", "run_none"), 3, "no run 'run_none'"),
        (("runs", "resume"), 3, "no run to resume"),
        (("runs", "cancel", "run_none"), 3, "no run 'run_none'"),
        (("serve", "--host", "0.0.0.0"), 2, "refusing to listen on '0.0.0.0'"),
    ],
)
def test_bad_input_is_one_clear_line(agent, workspace, arguments, code, says):
    (workspace / "todo.gguf").write_text("this is no model")
    ran = agent(*arguments)
    assert ran.code == code, ran.err
    assert ran.out == ""
    first, *hints = ran.err.splitlines()
    assert first.startswith("error: ")
    assert says in first
    assert all(hint.startswith("  the run is kept: agent runs resume run_") for hint in hints)


def test_a_prompt_of_a_megabyte_is_refused_with_numbers_and_kept(agent):
    ran = agent("run", "-", stdin="word " * 210_000)
    assert ran.code == 1
    assert "tokens long" in ran.err
    assert "the run is kept" in ran.err
    assert '"interrupted"' in agent("runs", "list", "--json").out


def test_a_model_that_is_away_leaves_a_run_that_another_model_finishes(agent):
    away = agent("run", PROMPT, "--model", "openai:x", "--base-url", "http://127.0.0.1:9/v1")
    assert away.code == 5
    resumed = agent("runs", "resume", "--json")
    assert resumed.code == 0, resumed.err
    assert "391" in resumed.answer


def test_a_broken_plugin_is_named_and_the_rest_works(agent, tmp_path):
    site = tmp_path / "site"
    info = site / "broken_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agent.skills]\nbroken = broken_plugin\n")
    (site / "broken_plugin.py").write_text("raise RuntimeError('no such luck')\n")
    listed = agent("skills", "list", PYTHONPATH=str(site))
    assert listed.code == 0
    assert "calculator" in listed.out
    assert "plugin broken is left out" in listed.err
    assert "no such luck" in listed.err
    ran = agent("run", PROMPT, "--json", PYTHONPATH=str(site))
    assert ran.code == 0
    assert "391" in ran.answer
    assert ran.err.count("\n") == 1
    assert "broken" in ran.err


def test_control_c_keeps_the_run(agent, start):
    running = start("run", "Tell me a long story about the sea.")
    assert running.stdout.read(5), "the answer streams"
    running.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = running.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert running.returncode == 130
    assert "interrupted\n  the run is kept: agent runs resume run_" in err
    assert "Traceback" not in err
    resumed = agent("runs", "resume", "--json")
    assert resumed.code == 0
    assert resumed.answer


def test_sessions_remember(agent):
    first = agent("run", "My name is Ada.", "--session", "ada", "--json")
    second = agent("run", "Hello again!", "--session", "ada", "--json")
    hydrated = next(event for event in second.events if event["type"] == "context.hydrated")
    texts = [part["text"] for message in hydrated["messages"] for part in message["parts"]]
    assert texts == ["My name is Ada.", first.answer]
    other = agent("run", "Hello!", "--json")
    assert "messages" not in next(event for event in other.events if event["type"] == "context.hydrated")


def test_settings_are_shown_with_their_origin_and_secrets_are_not(agent, workspace: Path):
    (workspace / "agent.toml").write_text('max_runs = 3\napi_key = "sk-secret"\n')
    shown = agent("config", "show")
    assert "sk-secret" not in shown.out
    assert "agent.toml" in shown.out
    rows = {row["name"]: row for row in map(json.loads, agent("config", "show", "--json").out.splitlines())}
    assert (rows["max_runs"]["value"], rows["port"]["origin"]) == (3, "default")
    (workspace / "agent.toml").write_text("max_runs = 'few'\n")
    wrong = agent("config", "show")
    assert wrong.code == 2
    assert "max_runs" in wrong.err


def test_a_fork_goes_on_with_another_prompt_and_the_difference_is_shown(agent):
    first = agent("run", PROMPT, "--json")
    run_id = first.events[-1]["run_id"]
    forked = agent("runs", "fork", run_id, "--at", "2", "--prompt", "What is 6*7?", "--json")
    assert forked.code == 0, forked.err
    assert forked.answer == "6 * 7 = 42"
    same = agent("runs", "fork", run_id, "--at", "5", "--json")
    assert same.answer == first.answer
    shown = agent("runs", "diff", run_id, same.events[-1]["run_id"])
    assert shown.out == "the first 8 events are the same\n"
    parted = agent("runs", "diff", run_id, forked.events[-1]["run_id"], "--json")
    sides = [json.loads(line)["side"] for line in parted.out.splitlines()]
    assert sides == ["left"] * 8 + ["right"] * 8
    late = agent("runs", "fork", run_id, "--at", "4", "--prompt", "too late")
    assert late.code == 2
    assert "fork at event 1 or 2" in late.err
