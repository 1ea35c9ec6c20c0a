"""The long-term memory over HTTP: exported, searched, erased; one tenant's alone; a setting."""

import anyio
import pytest

from agent_core.testing import answer

URL = "/api/v1/memory"
CODE = "The gate code is 4711."


async def said(client, *prompts):
    for number, prompt in enumerate(prompts):
        body = {"prompt": prompt, "session_id": f"session {number}"}
        run_id = (await client.post("/api/v1/runs", json=body)).json()["run_id"]
        with anyio.fail_after(30):
            while (await client.get(f"/api/v1/runs/{run_id}")).json()["status"] == "running":
                await anyio.sleep(0.01)


async def test_what_was_said_is_exported_searched_and_erased(open_serving):
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        await said(client, "My sister is called Ada.", CODE)
        page = (await client.get(URL, params={"limit": 3})).json()
        rest = (await client.get(URL, params={"cursor": page["next_cursor"]})).json()
        texts = [one["text"] for one in (*page["items"], *rest["items"])]
        assert texts == ["My sister is called Ada.", "Fine.", CODE, "Fine."]
        assert rest["next_cursor"] is None
        assert (await client.get(URL, params={"cursor": 2**63})).status_code == 400
        assert (await client.get(f"{URL}/facts")).json() == {"items": []}
        (hit, *_) = (await client.post(f"{URL}/search", json={"query": "gate code"})).json()["items"]
        assert (hit["text"], hit["session_id"], bool(hit["why"])) == (CODE, "session 1", True)

        other = {"Authorization": f"Bearer {daemon.keys.create(now=0.0, tenant='other')[1]}"}
        assert (await client.get(URL, headers=other)).json()["items"] == []
        nothing = (await client.post(f"{URL}/forget", json={"containing": "4711"}, headers=other)).json()
        assert nothing["episodes"] == 0

        assert (await client.post(f"{URL}/forget", json={})).status_code == 400
        gone = (await client.post(f"{URL}/forget", json={"containing": "4711"})).json()
        assert gone["episodes"] == 1
        assert CODE not in (await client.get(URL)).text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("get", "/facts", None),
        ("post", "/search", {"query": "x"}),
        ("post", "/forget", {"subject": "x"}),
    ],
)
async def test_where_it_is_off_there_is_none(open_serving, method, path, body):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        reply = await client.request(method, f"{URL}{path}", json=body)
        assert reply.status_code == 404
        assert "long_term" in reply.json()["detail"]
