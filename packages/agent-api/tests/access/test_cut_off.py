"""Requests with an idempotency key that were cut off: what they began is found again, and is not begun twice.

A daemon that is killed between what a request does and its reply leaves the name without a reply; that is what `cut_off` makes.
The killed processes themselves are in `tests/end_to_end/test_daemon_kills.py`.
"""

import sqlite3
from contextlib import closing

import anyio
import pytest

from agent_api.daemon import access_folder
from agent_core.errors import ModelUnavailableError
from agent_core.testing import answer, call

HOOK = {"url": "https://127.0.0.1:9/x", "events": ["run.done"]}
SCHEDULE = {"cron": "@yearly", "run": {"prompt": "x"}}
DOCUMENT = {"name": "plant", "documents": [{"source": "a.md", "text": "# Doors\n\nThe gate closes at ten."}]}
CHAT = {"model": "agent", "messages": [{"role": "user", "content": "hello"}]}
ASKED = {"model": "agent", "input": "hello"}
HOOKS = {"webhook_networks": "127.0.0.0/8", "webhook_ports": "9"}


@pytest.fixture
def open_admin(open_serving):
    """A daemon, and a client with the admin key that names its requests."""

    def opened(replies, **settings):
        return open_serving(replies, **HOOKS, **settings)

    return opened


def as_admin(client, daemon, name="one"):
    client.headers["Authorization"] = f"Bearer {daemon.first_key}"
    return {"Idempotency-Key": name}


def cut_off(daemon, name="one"):
    """As if the daemon had been killed before it wrote down what it replied."""
    folder = access_folder(daemon.tenants.machine.settings.data_path())
    with closing(sqlite3.connect(folder / "replies.db", isolation_level=None)) as db:
        done = db.execute("UPDATE replies SET reply = x'' WHERE name = ?", (name,))
        assert done.rowcount == 1


async def runs_of(client):
    return [one["run_id"] for one in (await client.get("/api/v1/runs")).json()["items"]]


async def rested(client, run_id):
    with anyio.fail_after(20):
        while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] == "running":
            await anyio.sleep(0.01)
    return run


async def twice(client, daemon, path, body, headers):
    """The replies of a request and of the same after it was cut off."""
    first = await client.post(path, json=body, headers=headers)
    assert first.status_code < 300, first.text
    cut_off(daemon)
    again = await client.post(path, json=body, headers=headers)
    assert again.status_code == first.status_code, again.text
    return first.json(), again.json()


@pytest.mark.parametrize(
    ("path", "body", "name_of", "listed"),
    [
        ("/api/v1/runs", {"prompt": "hello"}, lambda reply: reply["run_id"], "/api/v1/runs"),
        ("/api/v1/sessions", {"name": "x"}, lambda reply: reply["session_id"], "/api/v1/sessions"),
        ("/api/v1/schedules", SCHEDULE, lambda reply: reply["schedule_id"], "/api/v1/schedules"),
        ("/api/v1/webhooks", HOOK, lambda reply: reply["about"]["webhook_id"], "/api/v1/webhooks"),
        ("/v1/conversations", {"items": [{"role": "user", "content": "x"}]}, lambda reply: reply["id"], None),
        ("/v1/responses", ASKED, lambda reply: reply["id"], "/api/v1/runs"),
        ("/v1/responses", ASKED | {"background": True}, lambda reply: reply["id"], "/api/v1/runs"),
        ("/v1/responses", ASKED | {"store": False}, lambda reply: reply["id"], "/api/v1/runs"),
        ("/v1/chat/completions", CHAT, lambda reply: reply["id"], "/api/v1/runs"),
    ],
)
async def test_what_was_begun_is_found_and_not_begun_twice(open_admin, path, body, name_of, listed):
    async with open_admin([answer("hi")]) as (client, daemon):
        first, again = await twice(client, daemon, path, body, as_admin(client, daemon))
        assert name_of(again) == name_of(first)
        if listed:
            assert len((await client.get(listed)).json()["items"]) == 1


async def test_a_webhook_that_is_found_again_has_its_secret(open_admin):
    async with open_admin([]) as (client, daemon):
        first, again = await twice(client, daemon, "/api/v1/webhooks", HOOK, as_admin(client, daemon))
        assert again == first


async def test_a_secret_is_rotated_once(open_admin):
    """After two rotations nothing would be signed with the secret that the receiver has."""
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        hook = (await client.post("/api/v1/webhooks", json=HOOK)).json()["about"]["webhook_id"]
        first, again = await twice(client, daemon, f"/api/v1/webhooks/{hook}/rotate", {}, headers)
        assert again["secret"] == first["secret"]


async def test_a_test_message_is_owed_once(open_admin):
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        hook = (await client.post("/api/v1/webhooks", json=HOOK)).json()["about"]["webhook_id"]
        first, again = await twice(client, daemon, f"/api/v1/webhooks/{hook}/test", None, headers)
        assert again["message_id"] == first["message_id"]
        assert len((await client.get(f"/api/v1/webhooks/{hook}/deliveries")).json()["items"]) == 1


async def test_a_schedule_is_fired_once(open_admin):
    async with open_admin([answer("hi")]) as (client, daemon):
        headers = as_admin(client, daemon)
        one = f"/api/v1/schedules/{(await client.post('/api/v1/schedules', json=SCHEDULE)).json()['schedule_id']}"
        first, again = await twice(client, daemon, f"{one}/run", None, headers)
        assert again["run_id"] == first["run_id"]
        with anyio.fail_after(20):
            while not await runs_of(client):
                await anyio.sleep(0.01)
        assert await runs_of(client) == [first["run_id"]]


async def test_a_key_is_made_once_and_its_text_can_be_seen(open_admin):
    async with open_admin([]) as (client, daemon):
        first, again = await twice(client, daemon, "/api/v1/keys", {"name": "x"}, as_admin(client, daemon))
        assert again["about"] == first["about"]
        assert len((await client.get("/api/v1/keys")).json()["items"]) == 2
        shown = await client.get("/api/v1/runs", headers={"Authorization": f"Bearer {again['key']}"})
        assert shown.status_code == 200


async def test_a_key_is_rotated_once(open_admin):
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        old = (await client.post("/api/v1/keys", json={})).json()["about"]["key_id"]
        first, again = await twice(client, daemon, f"/api/v1/keys/{old}/rotate", {}, headers)
        assert again["about"] == first["about"]
        assert len((await client.get("/api/v1/keys")).json()["items"]) == 3
        shown = await client.get("/api/v1/runs", headers={"Authorization": f"Bearer {again['key']}"})
        assert shown.status_code == 200


async def test_a_run_is_forked_once(open_admin):
    async with open_admin([answer("hi")] * 2) as (client, daemon):
        headers = as_admin(client, daemon)
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        await rested(client, run_id)
        first, again = await twice(client, daemon, f"/api/v1/runs/{run_id}/fork", {"at_seq": 1}, headers)
        assert again["run_id"] == first["run_id"]
        assert len(await runs_of(client)) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("decisions", {"tool_call_id": "q", "decision": "reply", "text": "yes"}),
        ("cancel", {"reason": "enough"}),
    ],
)
async def test_a_word_of_a_person_counts_once_and_is_not_refused_the_second_time(open_admin, path, body):
    script = [call("ask_person", {"question": "?"}, tool_call_id="q"), answer("x")]
    async with open_admin(script, ask_person=True) as (client, daemon):
        headers = as_admin(client, daemon)
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        assert (await rested(client, run_id))["status"] == "waiting"
        one = f"/api/v1/runs/{run_id}"
        await twice(client, daemon, f"{one}/{path}", body, headers)
        await rested(client, run_id)
        cut_off(daemon)
        again = await client.post(f"{one}/{path}", json=body, headers=headers)
        assert again.status_code == 200
        assert again.json()["status"] in {"done", "cancelled"}
        other = await client.post(f"{one}/{path}", json=body)  # of nobody who was cut off
        assert other.status_code == 409


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT | {"stream": True}),
        ("/v1/responses", ASKED | {"stream": True}),
        ("/v1/responses", ASKED | {"stream": True, "background": True}),
    ],
)
async def test_a_stream_that_broke_off_is_told_again_of_the_same_run(open_admin, path, body):
    async with open_admin([answer("all of it")]) as (client, daemon):
        headers = as_admin(client, daemon)
        told = []
        for _ in range(3):
            reply = await client.post(path, json=body, headers=headers)
            assert reply.status_code == 200
            assert "all of it" in reply.text
            told.append(reply.headers["x-run-id"])
        assert len(set(told)) == 1
        assert await runs_of(client) == told[:1]


async def test_a_run_whose_model_was_away_goes_on_when_it_is_asked_for_again(open_admin):
    script = [ModelUnavailableError("away"), answer("hi")]
    async with open_admin(script) as (client, daemon):
        headers = as_admin(client, daemon)
        refused = await client.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert refused.status_code == 503
        reply = await client.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert reply.json()["choices"][0]["message"]["content"] == "hi"
        assert len(await runs_of(client)) == 1


async def test_a_refused_request_may_be_mended_under_its_name(open_admin):
    async with open_admin([answer("hi")]) as (client, daemon):
        headers = as_admin(client, daemon)
        refused = await client.post("/api/v1/runs", json={"prompt": ""}, headers=headers)
        assert refused.status_code == 400
        begun = await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=headers)
        assert begun.status_code == 202
        assert "idempotent-replayed" not in begun.headers


async def test_items_are_added_once(open_admin):
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        one = f"/v1/conversations/{(await client.post('/v1/conversations', json={})).json()['id']}/items"
        body = {"items": [{"role": "user", "content": text} for text in ("x", "y")]}
        first, again = await twice(client, daemon, one, body, headers)
        assert again == first
        assert len((await client.get(one)).json()["data"]) == 2


async def test_an_ingest_tells_how_far_it_is_and_goes_on_when_it_was_broken_off(open_admin):
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        begun = (await client.post("/api/v1/knowledge", json=DOCUMENT, headers=headers)).json()
        one = f"/api/v1/knowledge/ingests/{begun['ingest_id']}"
        with anyio.fail_after(60):
            while (await client.get(one)).json()["status"] == "running":
                await anyio.sleep(0.05)
        told = (await client.post("/api/v1/knowledge", json=DOCUMENT, headers=headers)).json()
        assert (told["ingest_id"], told["status"]) == (begun["ingest_id"], "done")
    async with open_admin([]) as (client, daemon):  # the next start
        key = daemon.keys.create(now=0.0)[1]
        client.headers["Authorization"] = f"Bearer {key}"
        with anyio.fail_after(20):
            known = (await client.get(one)).json()
        assert known["result"]["added"] == ["a.md"]


async def test_a_tool_that_was_cut_off_is_not_called_again_unasked(open_admin):
    message = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {
            "name": "calculator",
            "arguments": {"expression": "6 * 7"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    async with open_admin([]) as (client, daemon):
        headers = as_admin(client, daemon)
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Accept": "application/json, text/event-stream"}
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "calculator"}
        first = await client.post("/mcp", json=message, headers=headers)
        assert first.status_code == 200, first.text
        cut_off(daemon)
        again = await client.post("/mcp", json=message, headers=headers)
        assert again.status_code == 409
        assert "see what it did" in again.json()["detail"]
