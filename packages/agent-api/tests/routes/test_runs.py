"""Runs over the API: list, cancel, resume, fork, compare, decide; as a client sees them."""

import anyio
import pytest

from agent_core.errors import ModelUnavailableError
from agent_core.policy import Rules, Verdict
from agent_core.testing import answer, call


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


async def rested(client, run_id):
    with anyio.fail_after(20):
        while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] == "running":
            await anyio.sleep(0.01)
    return run


async def started(client, prompt="hello", **fields):
    reply = await client.post("/api/v1/runs", json={"prompt": prompt, **fields})
    assert reply.status_code == 202, reply.text
    return await rested(client, reply.json()["run_id"])


@pytest.fixture
def serving(open_serving):
    """A daemon and a client with the first key."""

    class Serving:
        def __init__(self, replies, **settings):
            self._opened = open_serving(replies, **settings)

        async def __aenter__(self):
            client, daemon = await self._opened.__aenter__()
            client.headers.update(bearer(daemon.first_key))
            return client, daemon

        async def __aexit__(self, *error):
            await self._opened.__aexit__(*error)

    return Serving


async def test_runs_are_listed_by_pages_newest_first(serving):
    async with serving([answer("hi")]) as (client, _):
        made = [(await started(client, session_id=f"s{n % 2}"))["run_id"] for n in range(5)]
        seen, cursor = [], ""
        while True:
            page = (await client.get("/api/v1/runs", params={"limit": 2, "cursor": cursor})).json()
            seen += [run["run_id"] for run in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = page["next_cursor"]
        assert seen == made[::-1]
        odd = (await client.get("/api/v1/runs", params={"session_id": "s1"})).json()
        assert [run["run_id"] for run in odd["items"]] == [made[3], made[1]]
        assert (await client.get("/api/v1/runs", params={"limit": 0})).status_code == 400


async def test_a_run_under_way_is_cancelled(serving):
    async with serving([call("ask_person", {"question": "Shall I?"}), answer("x")], ask_person=True) as (
        client,
        _,
    ):
        run = await started(client)
        reply = await client.post(f"/api/v1/runs/{run['run_id']}/cancel", json={"reason": "enough"})
        assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
        assert "enough" in reply.json()["error"]
        again = await client.post(f"/api/v1/runs/{run['run_id']}/cancel", json={})
        assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")


async def test_an_interrupted_run_is_taken_up_again(serving):
    async with serving([ModelUnavailableError("away"), answer("here")]) as (client, _):
        run = await started(client)
        assert run["status"] == "interrupted"
        assert (await client.post(f"/api/v1/runs/{run['run_id']}/resume")).status_code == 202
        done = await rested(client, run["run_id"])
        assert (done["status"], done["answer"]) == ("done", "here")
        again = await client.post(f"/api/v1/runs/{run['run_id']}/resume")
        assert (again.status_code, again.json()["status"]) == (202, "done")


async def test_a_run_is_forked_and_compared(serving):
    async with serving([answer("one"), answer("two")]) as (client, _):
        run = await started(client)
        forked = await client.post(
            f"/api/v1/runs/{run['run_id']}/fork", json={"at_seq": 2, "prompt": "again"}
        )
        assert forked.status_code == 202
        other = await rested(client, forked.json()["run_id"])
        assert (other["answer"], other["prompt"]) == ("two", "again")
        diff = (await client.get(f"/api/v1/runs/{run['run_id']}/diff/{other['run_id']}")).json()
        assert (diff["common"], diff["left"][0]["type"]) == (0, "run.started")
        too_late = await client.post(f"/api/v1/runs/{run['run_id']}/fork", json={"at_seq": 4, "prompt": "x"})
        assert too_late.status_code >= 400


async def test_a_person_decides_and_the_journal_says_which_key_it_was(serving):
    script = [call("ask_person", {"question": "Red or blue?"}, tool_call_id="q"), answer("Blue it is.")]
    async with serving(script, ask_person=True) as (client, daemon):
        run = await started(client)
        assert run["status"] == "waiting"
        path = f"/api/v1/runs/{run['run_id']}/decisions"
        wrong = await client.post(path, json={"tool_call_id": "z", "decision": "reply", "text": "blue"})
        assert wrong.status_code == 409
        reply = await client.post(path, json={"tool_call_id": "q", "decision": "reply", "text": "blue"})
        assert reply.status_code == 200
        assert (await rested(client, run["run_id"]))["answer"] == "Blue it is."
        shown = (await client.get(f"/api/v1/runs/{run['run_id']}/events")).text
        key_id = daemon.first_key.split("_")[1]
        assert f"key {key_id} (admin)" in shown


async def test_a_decision_that_is_sent_twice_does_not_decide_on_the_next_question_of_the_same_id(serving):
    asks = [call("ask_person", {"question": one}, tool_call_id="q") for one in ("Red?", "Delete it all?")]
    async with serving([*asks, answer("Done.")], ask_person=True) as (client, _):
        run = await started(client)
        path = f"/api/v1/runs/{run['run_id']}/decisions"
        said = {"tool_call_id": "q", "decision": "reply", "text": "yes"}
        assert (await client.post(path, json=said)).status_code == 200
        second = await rested(client, run["run_id"])
        assert second["pending"][0]["question"] == "Delete it all?"
        for stale in (said, said | {"seq": run["seq"]}):
            refused = await client.post(path, json=stale)
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:agentd:not-now")
            assert "look at the run again" in refused.json()["detail"]
        assert (await client.post(path, json=said | {"seq": second["seq"]})).status_code == 200
        assert (await rested(client, run["run_id"]))["answer"] == "Done."


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.DENY, "done"), (Verdict.ASK, "waiting")])
async def test_the_policy_of_the_settings_decides(serving, verdict, status):
    script = [call("calculator", {"expression": "6*7"}), answer("as you like")]
    async with serving(script, policy=Rules(tools={"calculator": verdict})) as (client, _):
        run = await started(client)
        assert run["status"] == status
        shown = (await client.get(f"/api/v1/runs/{run['run_id']}")).text
        events = (
            "" if status == "waiting" else (await client.get(f"/api/v1/runs/{run['run_id']}/events")).text
        )
        assert "the rule for calculator says so" in shown + events


async def test_what_is_there_and_what_was_spent(serving):
    async with serving([answer("two words")]) as (client, _):
        await started(client)
        skills = (await client.get("/api/v1/skills")).json()["items"]
        assert "calculator" in {one["skill"]["name"] for one in skills}
        (model,) = (await client.get("/api/v1/models")).json()["items"]
        assert model["name"] == "test:scripted"
        (day,) = (await client.get("/api/v1/usage")).json()["items"]
        assert (day["turns"], day["output_tokens"]) == (1, 2)
        assert (await client.get("/api/v1/usage", params={"since": "no day"})).status_code == 400
        with anyio.fail_after(10):
            while not (lines := (await client.get("/api/v1/audit")).json()["items"]):
                await anyio.sleep(0.05)
        assert lines[0]["entry"]["action"] == "POST /api/v1/runs"


async def test_a_run_that_is_erased_while_runs_are_listed_is_left_out(serving):
    async with serving([answer("hi")]) as (client, daemon):
        gone, kept = [(await started(client))["run_id"] for _ in range(2)]
        journal = (await daemon.tenants.supervisor("default")).agent.journal
        heads = journal.heads

        async def erasing(**which):
            found = [head async for head in heads(**which)]
            await journal.forget(run_ids=[gone])
            for head in found:
                yield head

        journal.heads = erasing
        reply = await client.get("/api/v1/runs")
        assert (reply.status_code, [run["run_id"] for run in reply.json()["items"]]) == (200, [kept])
