"""`agent sessions`, `schedules` and `webhooks`: over the files of a data folder, beside a daemon or without one."""

import json

import pytest

from agent_api.access.keys import KeyStore
from agent_api.cli import app
from agent_api.daemon import access_folder
from agent_core.errors import AgentError


@pytest.fixture
def agent(tmp_path, monkeypatch, capsys):
    """A command's exit code, output lines as JSON, and what it said beside."""
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        from agent_api.cli.failure import explain

        try:
            app([*arguments], standalone_mode=False)
            code = 0
        except AgentError as error:
            code = explain(error)
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines() if line.startswith("{")] or out, err

    return run


@pytest.fixture
def key(tmp_path):
    keys = KeyStore(access_folder(tmp_path))
    made, _ = keys.create(now=0.0, name="maker")
    keys.close()
    return made.key_id


def test_a_schedule_is_made_paused_resumed_and_removed(agent, key):
    command = ("schedules", "create", "30 7 * * *", "Look.", "--time-zone", "Europe/Berlin", "--json")
    code, (made,), _ = agent(*command, "--key", key)
    assert (code, made["status"], made["key_id"]) == (0, "active", key)
    schedule_id = made["schedule_id"]
    assert agent("schedules", "pause", schedule_id, "--json")[1][0]["next_at"] is None
    assert agent("schedules", "resume", schedule_id, "--json")[1][0]["next_at"] == made["next_at"]
    assert schedule_id in agent("schedules", "list")[1]
    assert agent("schedules", "runs", schedule_id)[2] == "it has not fired yet\n"
    assert agent("schedules", "remove", schedule_id)[0] == 0
    assert "no schedule yet" in agent("schedules", "list")[2]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("schedules", "create", "never", "x", "--key", "KEY"), 2, "five fields"),
        (("schedules", "create", "@daily", "x", "--key", "nokey"), 3, "no key 'nokey'"),
        (("schedules", "pause", "nothing"), 3, "no schedule 'nothing'"),
        (("webhooks", "create", "https://127.0.0.1/x", "--event", "run.done"), 2, "not public"),
        (("webhooks", "create", "https://192.0.2.1/x", "--event", "run.over"), 2, "run.over"),
        (("webhooks", "deliveries", "nothing"), 3, "no webhook 'nothing'"),
        (("sessions", "rename", "nothing", "x"), 3, "no session 'nothing'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(agent, key, arguments, code, says):
    done, _, err = agent(*(key if one == "KEY" else one for one in arguments))
    assert done == code
    assert err.startswith("error: ")
    assert says in err


def test_a_webhook_is_made_with_its_secret_shown_once(agent, monkeypatch):
    monkeypatch.setenv("AGENT_WEBHOOK_NETWORKS", "127.0.0.0/8")
    code, out, err = agent("webhooks", "create", "https://127.0.0.1/x", "--event", "run.done")
    assert code == 0
    assert out.startswith("whsec_")
    webhook_id = err.split()[1].rstrip(";")
    _, (listed,), _ = agent("webhooks", "list", "--json")
    assert (listed["webhook_id"], listed["events"]) == (webhook_id, ["run.done"])
    assert out.strip() not in json.dumps(listed)
    rotated = agent("webhooks", "rotate", webhook_id, "--json")[1][0]["secret"]
    assert rotated.startswith("whsec_")
    assert rotated != out.strip()
    assert agent("webhooks", "disable", webhook_id, "--json")[1][0]["status"] == "disabled"
    assert agent("webhooks", "enable", webhook_id, "--json")[1][0]["status"] == "enabled"
    assert agent("webhooks", "deliveries", webhook_id)[2] == "nothing was sent to it yet\n"
    assert agent("webhooks", "remove", webhook_id)[0] == 0


def test_there_are_no_sessions_before_there_are_runs(agent):
    assert "no session yet" in agent("sessions", "list")[2]
