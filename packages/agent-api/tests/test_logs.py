"""One way to log: JSON with what is bound around a record, text on a terminal, and never a secret."""

import io
import json
import logging

import anyio
import pytest
import structlog

from agent_api.errors import SettingsError
from agent_api.logs import hide_secrets, set_up_logs
from agent_core.testing import answer

KEY = "ag_0123456789ab_" + "s3cret-Text_" * 3


@pytest.fixture
def logs():
    """What is logged, as JSON; the root logger is as before afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    set_up_logs(level="debug", form="json", stream=stream, secrets=("provider-key",))
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_of_any_library_is_a_json_object_with_what_is_bound(logs):
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("agent_skills.runner").warning("%s is slow", "shell", extra={"seconds": 3})
    (line,) = lines(logs)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "shell is slow",
        "logger": "agent_skills.runner",
        "request_id": "r1",
        "seconds": 3,
    }


def test_a_fault_is_one_line_with_its_traceback_and_without_its_secrets(logs):
    try:
        int(KEY)
    except ValueError:
        logging.getLogger("agentd").exception("a fault with %s", KEY)
    (line,) = lines(logs)
    assert "Traceback" in line["exception"]
    assert "s3cret" not in logs.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY} is refused", "key ag_0123456789ab_[hidden] is refused"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer [hidden]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_[hidden]"),
        ("sk-proj-0123456789", "sk-[hidden]"),
        ("postgres://agent:hunter2@db/x", "postgres://agent:[hidden]@db/x"),
        ("the word provider-key", "the word [hidden]"),
        ("run run_1 of key 0123456789ab rests", "run run_1 of key 0123456789ab rests"),
    ],
)
def test_secrets_are_hidden_and_words_are_not(text, shown):
    assert hide_secrets(text, ("provider-key",)) == shown


def test_the_journal_of_systemd_is_told_how_grave_a_line_is(monkeypatch, logs):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    stream = io.StringIO()
    set_up_logs(form="json", stream=stream)
    logging.getLogger("agentd").error("no room")
    assert stream.getvalue().startswith('<3>{"timestamp"')


def test_a_terminal_gets_text(logs, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    stream.isatty = lambda: True
    set_up_logs(stream=stream)
    logging.getLogger("agentd").info("it listens")
    assert "it listens" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_level_that_is_none_is_refused_by_name(logs):
    with pytest.raises(SettingsError, match="'loud' is none of debug"):
        set_up_logs(level="loud")


async def test_a_request_keeps_the_name_that_its_client_gave_it(open_serving, logs):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        headers = {"Authorization": f"Bearer {daemon.first_key}", "X-Request-Id": "mine-1"}
        reply = await client.get("/api/v1/runs", headers=headers)
        assert reply.headers["x-request-id"] == "mine-1"
        for wrong in ("with space", "x" * 65, "ü", '"}'):
            reply = await client.get("/api/v1/runs", headers={**headers, "X-Request-Id": wrong.encode()})
            assert reply.headers["x-request-id"].startswith("request_")
        refused = await client.get("/api/v1/runs", headers={"X-Request-Id": "mine-2"})
        assert (refused.status_code, refused.headers["x-request-id"]) == (401, "mine-2")
        run_id = (await client.post("/api/v1/runs", json={"prompt": "x"}, headers=headers)).json()["run_id"]
        with anyio.fail_after(20):
            while f"run {run_id} rests" not in logs.getvalue():
                await anyio.sleep(0.01)
    (rests,) = [line for line in lines(logs) if "rests" in line["event"]]
    assert (rests["request_id"], rests["run_id"]) == ("mine-1", run_id)


async def test_a_whole_exercise_leaves_no_secret_in_the_log(open_serving, logs):
    hooks = {"webhook_networks": "127.0.0.0/8", "webhook_ports": "9"}
    async with open_serving([answer("Fine.")], api_key="provider-secret", **hooks) as (client, daemon):
        secrets = [daemon.first_key, "provider-secret", KEY]
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        made = (await client.post("/api/v1/keys", json={})).json()
        rotated = (await client.post(f"/api/v1/keys/{made['about']['key_id']}/rotate", json={})).json()
        hook = {"url": "https://127.0.0.1:9/x?token=t0ken-of-url", "events": ["run.done"]}
        webhook = (await client.post("/api/v1/webhooks", json=hook)).json()
        one = f"/api/v1/webhooks/{webhook['about']['webhook_id']}"
        again = (await client.post(f"{one}/rotate", json={})).json()
        begun = await client.post("/console/session")
        secrets += [made["key"], rotated["key"], webhook["secret"], again["secret"]]
        secrets += [begun.cookies["agent_session"], begun.json()["csrf_token"]]
        for wrong in (KEY, made["key"], daemon.first_key[:-1]):
            refused = await client.get("/api/v1/runs", headers={"Authorization": f"Bearer {wrong}"})
            assert refused.status_code == 401
        await client.post("/api/v1/runs", json={"prompt": "x", "api_key": KEY})
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        await client.get(f"/api/v1/runs/{daemon.first_key}")
        await client.post(f"{one}/test")
        with anyio.fail_after(20):
            while f"run {run_id} rests" not in logs.getvalue():
                await anyio.sleep(0.01)
    text = logs.getvalue()
    assert len(lines(logs)) > 10
    assert [secret for secret in secrets if secret in text] == []
    assert [secret for secret in secrets if secret[-12:] in text] == []
