"""Every route, as the OpenAPI document lists them, against every wrong key: all refuse, and none says what there is.

A route that is added is in the matrix at once; one that the matrix cannot call fails it.
"""

import anyio

from agent_api.access.scopes import ALL
from agent_core.testing import answer, call

OPEN = {("get", "/health")}
DESCRIPTION = ("/schema", "/ready", "/console/session")
"""Answer every valid key, whatever its scopes."""
HOOK = {"url": "https://127.0.0.1:9/x", "events": ["run.done"]}
BODIES = {
    "/api/v1/runs": {"prompt": "hello"},
    "/api/v1/runs/{run_id}/cancel": {},
    "/api/v1/runs/{run_id}/fork": {"at_seq": 1},
    "/api/v1/runs/{run_id}/decisions": {"tool_call_id": "q", "decision": "reply", "text": "x"},
    "/api/v1/keys": {},
    "/api/v1/knowledge": {"name": "plant", "documents": [{"source": "a.md", "text": "x"}]},
    "/api/v1/knowledge/search": {"query": "x"},
    "/api/v1/sessions": {"name": "x"},
    "/api/v1/sessions/{session_id}": {"name": "x"},
    "/api/v1/webhooks": HOOK,
    "/api/v1/webhooks/{webhook_id}": {"name": "x"},
    "/api/v1/webhooks/{webhook_id}/rotate": {},
    "/api/v1/schedules": {"cron": "@daily", "run": {"prompt": "x"}},
    "/api/v1/schedules/{schedule_id}": {"name": "x"},
    "/api/v1/memory/search": {"query": "x"},
    "/api/v1/memory/forget": {"subject": "x"},
    "/v1/conversations/{conversation_id}": {"metadata": {}},
    "/v1/conversations/{conversation_id}/items": {"items": []},
    "/api/v1/keys/{key_id}/rotate": {},
    "/api/v1/mcp/servers/{name}/approve": {"tools": [{"name": "x", "digest": "x"}]},
}


NOTHING = "nothing_of_that_name"


def without(text, names):
    for name in names:
        text = text.replace(name, "ID")
    return text


def bearer(text):
    return {"Authorization": f"Bearer {text}"} if text else {}


async def made(client, admin):
    """One of everything that can be named, by the name of the parameter that names it."""
    begun = (await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=admin)).json()
    hook = (await client.post("/api/v1/webhooks", json=HOOK, headers=admin)).json()["about"]["webhook_id"]
    sent = (await client.post(f"/api/v1/webhooks/{hook}/test", headers=admin)).json()["message_id"]
    timed = {"cron": "@daily", "run": {"prompt": "x"}}
    schedule = (await client.post("/api/v1/schedules", json=timed, headers=admin)).json()["schedule_id"]
    named = {
        "session_id": begun["session_id"],
        "webhook_id": hook,
        "message_id": sent,
        "schedule_id": schedule,
    }
    others = (
        "run_id",
        "other_id",
        "model",
        "response_id",
        "conversation_id",
        "item_id",
        "name",
        "ingest_id",
        "import_id",
    )
    return named | dict.fromkeys(others, begun["run_id"])


async def test_no_route_lets_a_wrong_key_in(open_serving):
    script = [call("ask_person", {"question": "?"}, tool_call_id="q"), answer("x")]
    hooks = {"webhook_networks": "127.0.0.0/8", "webhook_ports": "9"}
    async with open_serving(script, ask_person=True, **hooks) as (client, daemon):
        admin = bearer(daemon.first_key)
        document = (await client.get("/schema/openapi.json", headers=admin)).json()
        routes = [
            (method, path)
            for path, methods in document["paths"].items()
            for method in methods
            if (method, path) not in OPEN
        ]
        assert len(routes) >= 15
        there_are = await made(client, admin)
        theirs, their_key = there_are["run_id"], daemon.first_key.split("_")[1]
        there_are["key_id"] = their_key
        with anyio.fail_after(20):
            while (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json()["status"] != "waiting":
                await anyio.sleep(0.01)
        before = (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json()

        keys = daemon.keys
        revoked, revoked_text = keys.create(now=0.0)
        keys.revoke(revoked.key_id, now=0.0, tenant=None)
        expired_text = keys.create(now=0.0, expires_at=1.0)[1]
        no_scope_text = keys.create(now=0.0, scopes=())[1]
        other_scopes = [scope for scope in ALL if scope != "tenants:admin"]
        other_text = keys.create(now=0.0, tenant="other", scopes=other_scopes)[1]

        async def ask(method, path, text, ids):
            real = path.format(**ids, path="openapi.json")
            assert "{" not in real, f"the matrix does not know what to put into {path}"
            client.cookies.clear()  # that of the console would stand for a key
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
                there = await ask(method, path, text, there_are)
                nowhere = await ask(method, path, text, dict.fromkeys(there_are, NOTHING))
                told = (
                    path.startswith(DESCRIPTION) and case == "no scope"
                )  # what the API is like is no secret
                seen = {there.status_code, nowhere.status_code}
                if not (seen <= {200, 201, 204} if told else seen == {status}):
                    missed.append((case, method, path, there.status_code, nowhere.status_code))
            if "{" not in path or path.startswith(DESCRIPTION):
                continue
            there = await ask(method, path, other_text, there_are)
            nowhere = await ask(method, path, other_text, dict.fromkeys(there_are, NOTHING))
            shapes = [without(reply.text, (*there_are.values(), NOTHING)) for reply in (there, nowhere)]
            if there.status_code != 404 or nowhere.status_code != 404 or shapes[0] != shapes[1]:
                missed.append(("another tenant's", method, path, there.status_code, nowhere.status_code))
        assert missed == []

        lines = (await client.get("/api/v1/audit", headers=bearer(other_text))).json()["items"]
        assert {line["entry"]["tenant"] for line in lines} <= {"other"}
        for path in ("runs", "usage", "keys", "sessions", "webhooks", "schedules"):
            seen = (await client.get(f"/api/v1/{path}", headers=bearer(other_text))).text
            assert [one for one in set(there_are.values()) if one in seen] == []
        assert (await client.get(f"/api/v1/runs/{theirs}", headers=admin)).json() == before
