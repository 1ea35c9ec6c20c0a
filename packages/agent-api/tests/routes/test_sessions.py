"""Sessions over HTTP: made, listed by use, read in order, renamed, erased with all that belongs to them."""

import sqlite3

import anyio
import pytest

from agent_core.testing import answer, call

URL = "/api/v1/sessions"
SECRET = "the-gate-code-is-4711"


async def ran(client, prompt, session_id="", **headers):
    body = {"prompt": prompt, "session_id": session_id}
    run = (await client.post("/api/v1/runs", json=body, headers=headers)).json()
    with anyio.fail_after(30):
        while (run := (await client.get(f"/api/v1/runs/{run['run_id']}")).json())["status"] == "running":
            await anyio.sleep(0.01)
    return run


async def test_a_session_is_made_named_and_filled_by_runs(open_serving):
    script = [call("calculator", {"expression": "1+1"}), answer("Two."), answer("Fine.")]
    async with open_serving(script) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        made = await client.post(URL, json={"name": "Sums", "metadata": {"room": "3"}})
        assert made.status_code == 201
        session_id = made.json()["session_id"]
        first = await ran(client, "What is 1+1?", session_id)
        second = await ran(client, "Thanks", session_id)

        shown = (await client.get(f"{URL}/{session_id}")).json()
        assert (shown["name"], shown["metadata"]) == ("Sums", {"room": "3"})
        assert [run["run_id"] for run in shown["runs"]] == [first["run_id"], second["run_id"]]
        assert shown["older_cursor"] is None

        page = (await client.get(f"{URL}/{session_id}/messages", params={"limit": 1})).json()
        assert [one["message"]["role"] for one in page["items"]] == ["user", "assistant", "tool", "assistant"]
        assert page["next_cursor"] == first["run_id"]
        rest = (await client.get(f"{URL}/{session_id}/messages", params={"cursor": first["run_id"]})).json()
        assert [one["run_id"] for one in rest["items"]] == [second["run_id"]] * 2
        assert rest["next_cursor"] is None
        assert (await client.get(f"{URL}/{session_id}/messages", params={"cursor": "x"})).status_code == 400

        renamed = await client.patch(f"{URL}/{session_id}", json={"name": "Sums of May"})
        assert (renamed.json()["name"], renamed.json()["metadata"]) == ("Sums of May", {"room": "3"})


async def test_sessions_are_listed_by_use_and_by_pages(open_serving):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        for name in ("a", "b", "c", "a"):
            await ran(client, "x", f"session of {name}")
        found, cursor = [], ""
        while cursor is not None:
            page = (await client.get(URL, params={"limit": 1, "cursor": cursor})).json()
            found += [one["session_id"][-1] for one in page["items"]]
            cursor = page["next_cursor"]
        assert found == ["a", "c", "b"]
        for wrong in ("x", "bm8", "WzFd", "é"):
            assert (await client.get(URL, params={"cursor": wrong})).status_code == 400


async def test_a_session_with_a_run_that_is_not_over_is_not_erased(open_serving):
    script = [call("ask_person", {"question": "?"}, tool_call_id="q"), answer("Fine.")]
    async with open_serving(script, ask_person=True) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        run = await ran(client, "ask", "s")
        assert run["status"] == "waiting"
        refused = await client.delete(f"{URL}/s")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:agentd:session-busy")
        assert run["run_id"] in refused.json()["detail"]
        await client.post(f"/api/v1/runs/{run['run_id']}/cancel", json={})
        assert (await client.delete(f"{URL}/s")).json() == {"session_id": "s", "runs": 1}


async def test_an_erased_session_leaves_no_byte_behind(open_serving, tmp_path):
    async with open_serving([answer(f"Noted: {SECRET}")], long_term=True) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        await client.post(
            "/api/v1/webhooks", json={"url": "https://192.0.2.1/x", "events": ["run.done"]}
        )  # refused
        run = await ran(client, f"Note {SECRET}", "s", **{"Idempotency-Key": "once"})
        kept = await ran(client, "another session", "other")
        response = await client.post("/v1/responses", json={"model": "agent", "input": SECRET})
        assert response.status_code == 200
        assert SECRET in (await client.get(f"{URL}/s/messages")).text
        assert (await client.get("/api/v1/memory")).text.count(SECRET) >= 2

        assert (await client.delete(f"{URL}/s")).json() == {"session_id": "s", "runs": 1}

        for path in (f"{URL}/s", f"/api/v1/runs/{run['run_id']}", f"{URL}/s/messages"):
            assert (await client.get(path)).status_code == 404
        sessions = (await client.get(URL)).json()["items"]
        assert "s" not in [one["session_id"] for one in sessions]
        assert (await client.get(f"/api/v1/runs/{kept['run_id']}")).json()["answer"]
        for one in sessions:
            if one["session_id"] != "other":  # that of the response
                assert (await client.delete(f"{URL}/{one['session_id']}")).status_code == 200
        assert (await client.get(f"/v1/responses/{response.json()['id']}")).status_code == 404
        again = await ran(client, "What did I note?", "s")
        assert f"Note {SECRET}" not in (await client.get(f"{URL}/s/messages")).text
        assert again["status"] == "done"
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    found = [path.name for path in left if f"Note {SECRET}".encode() in path.read_bytes()]
    assert found == []


async def test_sessions_of_before_are_found_in_the_journal(open_serving, tmp_path):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        key = daemon.first_key
        client.headers["Authorization"] = f"Bearer {key}"
        await ran(client, "x", "old")
    with sqlite3.connect(tmp_path / "data" / "records.db") as db:
        db.execute("DELETE FROM sessions")
        db.execute("DELETE FROM marks")
    db.close()
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {key}"
        assert (await client.get(f"{URL}/old")).json()["runs"]
        with anyio.fail_after(10):
            while not (items := (await client.get(URL)).json()["items"]):
                await anyio.sleep(0.01)
        assert [one["session_id"] for one in items] == ["old"]


@pytest.mark.parametrize("session_id", ["a/b", "a\nb", "x" * 201])
async def test_a_name_that_no_address_can_hold_is_refused(open_serving, session_id):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        reply = await client.post("/api/v1/runs", json={"prompt": "x", "session_id": session_id})
        assert reply.status_code == 400


async def test_runs_of_a_session_wait_for_each_other_in_their_order(open_serving):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        begun = []
        for number in range(4):
            body = {"prompt": f"number {number}", "session_id": "s"}
            begun.append((await client.post("/api/v1/runs", json=body)).json()["run_id"])
        with anyio.fail_after(30):
            while {run["status"] for run in (await client.get(f"{URL}/s")).json()["runs"]} != {"done"}:
                await anyio.sleep(0.02)
        assert [run["run_id"] for run in (await client.get(f"{URL}/s")).json()["runs"]] == begun
        supervisor = await daemon.tenants.supervisor("default")
        last = await supervisor.agent.runner.load(begun[-1])
        told = [message.text for message in last.messages if message.role == "user"]
        assert told == [f"number {number}" for number in range(4)], "each knows those before"
