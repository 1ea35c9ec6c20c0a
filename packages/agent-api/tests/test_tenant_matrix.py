"""Every route, as the OpenAPI document lists them, against every wrong key: all refuse, and none says what there is.

A route that is added is in the matrix at once; one that the matrix cannot call fails it.
"""

import anyio

from agent_api.access.scopes import ALL
from agent_core.testing import answer, call

OPEN = {("get", "/health")}
DESCRIPTION = ("/schema", "/ready")
"""Answers every valid key, whatever its scopes."""
BODIES = {
    "/api/v1/runs": {"prompt": "hello"},
    "/api/v1/runs/{run_id}/cancel": {},
    "/api/v1/runs/{run_id}/fork": {"at_seq": 1},
    "/api/v1/runs/{run_id}/decisions": {"tool_call_id": "q", "decision": "reply", "text": "x"},
    "/api/v1/keys": {},
    "/api/v1/knowledge": {"name": "plant", "documents": [{"source": "a.md", "text": "x"}]},
    "/api/v1/knowledge/search": {"query": "x"},
    "/api/v1/memory/search": {"query": "x"},
    "/api/v1/memory/forget": {"subject": "x"},
    "/v1/conversations/{conversation_id}": {"metadata": {}},
    "/v1/conversations/{conversation_id}/items": {"items": []},
    "/api/v1/keys/{key_id}/rotate": {},
}


def bearer(text):
    return {"Authorization": f"Bearer {text}"} if text else {}


async def test_no_route_lets_a_wrong_key_in(open_serving):
    script = [call("ask_person", {"question": "?"}, tool_call_id="q"), answer("x")]
    async with open_serving(script, ask_person=True) as (client, daemon):
        admin = bearer(daemon.first_key)
        document = (await client.get("/schema/openapi.json", headers=admin)).json()
        routes = [
            (method, path)
            for path, methods in document["paths"].items()
            for method in methods
            if (method, path) not in OPEN
        ]
        assert len(routes) >= 15
        theirs = (await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=admin)).json()["run_id"]
        with anyio.fail_after(20):
            while (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json()["status"] != "waiting":
                await anyio.sleep(0.01)
        their_key = daemon.first_key.split("_")[1]
        before = (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json()

        keys = daemon.keys
        revoked, revoked_text = keys.create(now=0.0)
        keys.revoke(revoked.key_id, now=0.0, tenant=None)
        expired_text = keys.create(now=0.0, expires_at=1.0)[1]
        no_scope_text = keys.create(now=0.0, scopes=())[1]
        other_scopes = [scope for scope in ALL if scope != "tenants:admin"]
        other_text = keys.create(now=0.0, tenant="other", scopes=other_scopes)[1]

        async def ask(method, path, text, run_id, key_id):
            ours = dict.fromkeys(
                ("model", "response_id", "conversation_id", "item_id", "name", "ingest_id"), run_id
            )
            real = path.format(run_id=run_id, other_id=run_id, key_id=key_id, path="openapi.json", **ours)
            assert "{" not in real, f"the matrix does not know what to put into {path}"
            return await client.request(
                method,
                real,
                headers=bearer(text),
                json=BODIES.get(path) if method in {"post", "put", "patch"} else None,
            )

        missed = []
        for method, path in routes:
            for case, text, status in (
                ("no key", "", 401),
                ("revoked", revoked_text, 401),
                ("expired", expired_text, 401),
                ("no scope", no_scope_text, 403),
            ):
                there = await ask(method, path, text, theirs, their_key)
                nowhere = await ask(method, path, text, "run_none", "nokey")
                told = (
                    path.startswith(DESCRIPTION) and case == "no scope"
                )  # what the API is like is no secret
                expected = 200 if told else status
                if (there.status_code, nowhere.status_code) != (expected, expected):
                    missed.append((case, method, path, there.status_code, nowhere.status_code))
            if "{" not in path or path.startswith(DESCRIPTION):
                continue
            there = await ask(method, path, other_text, theirs, their_key)
            nowhere = await ask(method, path, other_text, "run_none", "nokey")
            shapes = [
                reply.text.replace(theirs, "ID")
                .replace("run_none", "ID")
                .replace(their_key, "KEY")
                .replace("nokey", "KEY")
                for reply in (there, nowhere)
            ]
            if there.status_code != 404 or nowhere.status_code != 404 or shapes[0] != shapes[1]:
                missed.append(("another tenant's", method, path, there.status_code, nowhere.status_code))
        assert missed == []

        lines = (await client.get("/api/v1/audit", headers=bearer(other_text))).json()["items"]
        assert {line["entry"]["tenant"] for line in lines} <= {"other"}
        for path in ("/api/v1/runs", "/api/v1/usage", "/api/v1/keys"):
            seen = (await client.get(path, headers=bearer(other_text))).text
            assert theirs not in seen
            assert their_key not in seen
        assert (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json() == before
