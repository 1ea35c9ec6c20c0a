"""Schedules over HTTP: made, shown with their next time, changed, paused, fired by hand, removed."""

import time

import anyio
import pytest

from agent_core.testing import answer

URL = "/api/v1/schedules"
NEW = {"name": "Morning", "cron": "30 7 * * *", "time_zone": "Europe/Berlin", "run": {"prompt": "Look."}}


async def test_a_schedule_from_its_making_to_its_end(open_serving):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        made = await client.post(URL, json=NEW)
        assert made.status_code == 201, made.text
        one = f"{URL}/{made.json()['schedule_id']}"
        assert made.json()["status"] == "active"
        assert time.time() < made.json()["next_at"] < time.time() + 86_400
        assert made.json()["key_id"] == daemon.first_key.split("_")[1]

        paused = (await client.post(f"{one}/pause")).json()
        assert (paused["status"], paused["next_at"]) == ("paused", None)
        changed = (await client.patch(one, json={"cron": "@hourly", "missed": "once"})).json()
        assert (changed["status"], changed["next_at"], changed["missed"]) == ("paused", None, "once")

        fired = await client.post(f"{one}/run", headers={"Idempotency-Key": "now"})
        again = await client.post(f"{one}/run", headers={"Idempotency-Key": "now"})
        assert fired.status_code == 202
        assert again.json() == fired.json()
        run_id = fired.json()["run_id"]
        with anyio.fail_after(20):
            while (await client.get(f"/api/v1/runs/{run_id}")).status_code == 404:
                await anyio.sleep(0.01)
            while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] == "running":
                await anyio.sleep(0.01)
        assert (run["prompt"], run["answer"]) == ("Look.", "Fine.")
        (firing,) = (await client.get(f"{one}/runs")).json()["items"]
        assert (firing["status"], firing["run_id"]) == ("started", run_id)

        resumed = (await client.post(f"{one}/resume")).json()
        assert resumed["status"] == "active"
        assert resumed["next_at"] % 3600 == 0
        assert [view["schedule_id"] for view in (await client.get(URL)).json()["items"]] == [
            one[len(URL) + 1 :]
        ]
        assert (await client.delete(one)).status_code == 204
        assert (await client.get(one)).status_code == 404
        assert (await client.get(f"/api/v1/runs/{run_id}")).status_code == 200


async def test_who_changes_a_schedule_pays_for_it(open_serving):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        one = f"{URL}/{(await client.post(URL, json=NEW)).json()['schedule_id']}"
        other, text = daemon.keys.create(now=0.0, scopes=["schedules:write", "runs:write"])
        changed = await client.patch(one, json={"name": "x"}, headers={"Authorization": f"Bearer {text}"})
        assert changed.json()["key_id"] == other.key_id
        weak = daemon.keys.create(now=0.0, scopes=["schedules:write"])[1]
        refused = await client.post(URL, json=NEW, headers={"Authorization": f"Bearer {weak}"})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:agentd:scope-missing")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cron": "never"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, "day-of-month"),
        ({"time_zone": "Here"}, "Here"),
        ({"run": {"prompt": " "}}, "run.prompt"),
        ({"missed": "always"}, "missed"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_schedule_that_is_none_is_refused_by_name(open_serving, wrong, says):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        reply = await client.post(URL, json=NEW | wrong)
        assert reply.status_code == 400
        assert says in reply.json()["detail"]
