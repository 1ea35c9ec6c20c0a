"""Webhooks from a run's end to a receiver: signed, once by their id, durable, and never in the way of runs."""

import base64
import hashlib
import hmac
import json
import sqlite3

import anyio
import pytest

from agent_core.testing import answer, call

URL = "/api/v1/webhooks"


def verified(headers, body, secret):
    """The message, if a signature of it fits: as a receiver checks it, by the standard's own words."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body.decode()}"
    expected = base64.b64encode(hmac.new(key, content.encode(), hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" in headers["webhook-signature"].split(" ")
    return json.loads(body)


async def begun(client, prompt="hello", status="done"):
    run = (await client.post("/api/v1/runs", json={"prompt": prompt})).json()
    with anyio.fail_after(30):
        while (await client.get(f"/api/v1/runs/{run['run_id']}")).json()["status"] != status:
            await anyio.sleep(0.01)
    return run["run_id"]


async def log(client, webhook_id, *, status=None):
    with anyio.fail_after(30):
        while True:
            page = (await client.get(f"{URL}/{webhook_id}/deliveries")).json()["items"]
            if status is None or (page and all(one["status"] == status for one in page)):
                return page
            await anyio.sleep(0.01)


async def test_the_end_of_a_run_is_told_signed_and_logged(receiving, open_with_hooks, tmp_path):
    async with receiving() as receiver, open_with_hooks(receiver.port) as (client, _):
        made = await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})
        assert made.status_code == 201, made.text
        secret, webhook_id = made.json()["secret"], made.json()["about"]["webhook_id"]
        run_id = await begun(client)
        await receiver.until(1)
        (headers, body) = receiver.got[0]
        message = verified(headers, body, secret)
        assert (message["type"], message["data"]["run_id"], message["data"]["status"]) == (
            "run.done",
            run_id,
            "done",
        )
        (delivery,) = await log(client, webhook_id, status="delivered")
        assert (delivery["message_id"], delivery["attempts"], delivery["last_status"]) == (
            headers["webhook-id"],
            1,
            200,
        )
        assert secret not in (await client.get(f"{URL}/{webhook_id}")).text
        key = base64.b64decode(secret.removeprefix("whsec_"))
        for path in (tmp_path / "data").rglob("*"):
            if path.is_file():
                assert key not in path.read_bytes(), path
                assert secret.encode() not in path.read_bytes(), path

        again = await client.post(f"{URL}/{webhook_id}/deliveries/{delivery['message_id']}/redeliver")
        assert again.status_code == 202
        await receiver.until(2)
        assert receiver.got[1][0]["webhook-id"] == headers["webhook-id"]
        assert receiver.got[1][1] == body


async def test_a_run_that_waits_fails_or_is_cancelled_is_told_by_its_type(receiving, open_with_hooks):
    script = [call("ask_person", {"question": "?"}, tool_call_id="q"), answer("x")]
    async with (
        receiving() as receiver,
        open_with_hooks(receiver.port, script, ask_person=True) as (client, _),
    ):
        events = ["run.waiting", "run.cancelled", "run.done"]
        made = (await client.post(URL, json={"url": receiver.url, "events": events})).json()
        run_id = await begun(client, status="waiting")
        await receiver.until(1)
        await client.post(f"/api/v1/runs/{run_id}/cancel", json={})
        await receiver.until(2)
        told = [verified(headers, body, made["secret"])["type"] for headers, body in receiver.got]
        assert told == ["run.waiting", "run.cancelled"]


async def test_one_that_fails_is_tried_again_under_its_id(receiving, open_with_hooks, monkeypatch):
    monkeypatch.setattr("agent_api.webhooks.outbox.RETRY_S", (0.05, 0.05, 0.05))
    async with receiving(500, 302, 200) as receiver, open_with_hooks(receiver.port) as (client, _):
        receiver.more = b"location: /elsewhere\r\n"
        made = (await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})).json()
        webhook_id = made["about"]["webhook_id"]
        await begun(client)
        await receiver.until(3)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
        (delivery,) = await log(client, webhook_id, status="delivered")
        assert delivery["attempts"] == 3
        assert (await client.get(f"{URL}/{webhook_id}")).json()["status"] == "enabled"


async def test_a_secret_is_rotated_without_a_message_that_cannot_be_checked(receiving, open_with_hooks):
    async with receiving() as receiver, open_with_hooks(receiver.port) as (client, _):
        made = (await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})).json()
        one = f"{URL}/{made['about']['webhook_id']}"
        for grace_s, old_fits in ((60, True), (0, False)):
            rotated = (await client.post(f"{one}/rotate", json={"grace_s": grace_s})).json()
            receiver.got.clear()
            assert (await client.post(f"{one}/test")).status_code == 202
            await receiver.until(1)
            headers, body = receiver.got[0]
            assert verified(headers, body, rotated["secret"])["type"] == "webhook.test"
            if old_fits:
                verified(headers, body, made["secret"])
            else:
                with pytest.raises(AssertionError):
                    verified(headers, body, made["secret"])


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://user:pass@192.0.2.1/x",
        "https://8.8.8.8:22/x",
        "http://8.8.8.8/x",
        "ftp://8.8.8.8/x",
        "https://",
        "https://metadata.internal/x",
    ],
)
async def test_where_it_leads_inside_none_is_made(open_serving, url):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        made = await client.post(URL, json={"url": url, "events": ["run.done"]})
        assert made.status_code == 400, made.text
        assert (await client.get(URL)).json() == {"items": []}


async def test_where_it_comes_to_lead_inside_nothing_is_sent(receiving, open_with_hooks, tmp_path):
    async with receiving() as receiver:
        async with open_with_hooks(receiver.port) as (client, daemon):
            made = await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})
            webhook_id, key = made.json()["about"]["webhook_id"], daemon.first_key
        async with open_with_hooks(receiver.port, webhook_networks="") as (client, _):
            client.headers["Authorization"] = f"Bearer {key}"
            await begun(client)
            with anyio.fail_after(20):
                while not (items := await log(client, webhook_id)) or not items[0]["attempts"]:
                    await anyio.sleep(0.01)
            assert "not public" in items[0]["last_error"]
            assert receiver.got == []
            assert (await client.get(f"{URL}/{webhook_id}")).json()["status"] == "failing"


async def test_what_ended_while_nobody_watched_is_told_once(receiving, open_with_hooks, tmp_path):
    async with receiving() as receiver:
        async with open_with_hooks(receiver.port) as (client, daemon):
            key = daemon.first_key
            await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})
            run_id = await begun(client)
            await receiver.until(1)
        with sqlite3.connect(tmp_path / "data" / "records.db") as db:  # as if killed before it was written
            db.execute("DELETE FROM deliveries")
        db.close()
        for _ in range(2):
            async with open_with_hooks(receiver.port) as (client, _):
                client.headers["Authorization"] = f"Bearer {key}"
                await receiver.until(2)
                await anyio.sleep(0.2)
        assert len(receiver.got) == 2
        assert {headers["webhook-id"] for headers, _ in receiver.got} == {receiver.got[0][0]["webhook-id"]}
        assert json.loads(receiver.got[1][1])["data"]["run_id"] == run_id


async def test_a_receiver_that_hangs_holds_up_neither_runs_nor_others(receiving, open_with_hooks):
    async with receiving() as slow, receiving() as quick:
        slow.hangs = True
        ports = f"{slow.port}, {quick.port}"
        async with open_with_hooks(ports) as (client, _):
            for receiver in (slow, quick):
                await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})
            for _ in range(12):
                await begun(client)
            await quick.until(12)
            assert len(slow.got) <= 8


async def test_one_that_is_gone_is_disabled_with_a_line_in_the_audit_log(receiving, open_with_hooks):
    async with receiving(410, 200) as receiver, open_with_hooks(receiver.port) as (client, _):
        made = (await client.post(URL, json={"url": receiver.url, "events": ["run.done"]})).json()
        webhook_id = made["about"]["webhook_id"]
        await begun(client)
        await receiver.until(1)
        with anyio.fail_after(20):
            while (view := (await client.get(f"{URL}/{webhook_id}")).json())["status"] != "disabled":
                await anyio.sleep(0.01)
            assert "410" in view["reason"]
            lines = []
            while not lines:
                entries = (await client.get("/api/v1/audit", params={"limit": 1000})).json()["items"]
                lines = [one["entry"] for one in entries if one["entry"]["action"] == "DISABLE webhook"]
                await anyio.sleep(0.05)
        assert webhook_id in lines[0]["target"]
        enabled = (await client.patch(f"{URL}/{webhook_id}", json={"enabled": True})).json()
        assert enabled["status"] == "enabled"
        await log(client, webhook_id, status="delivered")
        assert (await client.delete(f"{URL}/{webhook_id}")).status_code == 204
        assert (await client.get(f"{URL}/{webhook_id}/deliveries")).status_code == 404


async def test_a_webhook_goes_on_when_its_key_is_rotated_and_ends_when_that_is_revoked(
    receiving, open_with_hooks
):
    async with receiving() as receiver, open_with_hooks(receiver.port) as (client, daemon):
        maker, text = daemon.keys.create(now=0.0, scopes=["webhooks:write", "webhooks:read"])
        body = {"url": receiver.url, "events": ["run.done"]}
        made = await client.post(URL, json=body, headers={"Authorization": f"Bearer {text}"})
        webhook_id = made.json()["about"]["webhook_id"]
        newest = daemon.keys.rotate(maker.key_id, now=1.0, tenant=None)[0]
        await begun(client)
        await receiver.until(1)

        daemon.keys.revoke(newest.key_id, now=2.0, tenant=None)
        await begun(client)
        with anyio.fail_after(30):
            while (view := (await client.get(f"{URL}/{webhook_id}")).json())["status"] != "disabled":
                await anyio.sleep(0.01)
        assert view["reason"] == f"its key {newest.key_id} was revoked"
        assert len(receiver.got) == 1

        again = (await client.patch(f"{URL}/{webhook_id}", json={"enabled": True})).json()
        assert again["status"] == "enabled"
        assert again["key_id"] not in {maker.key_id, newest.key_id}
        with anyio.fail_after(60):
            while len(receiver.got) < 2:  # what it was owed meanwhile
                await anyio.sleep(0.02)
