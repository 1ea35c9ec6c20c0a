"""Keys over the API: nobody gives away more than they have."""

from agent_core.testing import answer


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


async def test_a_key_is_made_used_rotated_and_revoked(open_serving):
    async with open_serving([answer("hi")]) as (client, daemon):
        admin = bearer(daemon.first_key)
        made = await client.post("/api/v1/keys", json={"name": "laptop"}, headers=admin)
        assert made.status_code == 201
        text, about = made.json()["key"], made.json()["about"]
        assert text.startswith(f"ag_{about['key_id']}_")
        assert "keys:admin" not in about["scopes"]
        assert (await client.get("/api/v1/runs", headers=bearer(text))).status_code == 200
        assert (await client.get("/api/v1/keys", headers=bearer(text))).status_code == 403
        rotated = await client.post(f"/api/v1/keys/{about['key_id']}/rotate", json={}, headers=admin)
        assert rotated.status_code == 201
        assert (await client.get("/api/v1/runs", headers=bearer(text))).status_code == 401
        new = rotated.json()
        assert (await client.get("/api/v1/runs", headers=bearer(new["key"]))).status_code == 200
        gone = await client.delete(f"/api/v1/keys/{new['about']['key_id']}", headers=admin)
        assert gone.status_code == 200
        assert (await client.get("/api/v1/runs", headers=bearer(new["key"]))).status_code == 401
        listed = (await client.get("/api/v1/keys", headers=admin)).json()["items"]
        assert [key["name"] for key in listed] == ["admin", "laptop", "laptop"]
        assert text not in (await client.get("/api/v1/keys", headers=admin)).text


async def test_nobody_gives_a_scope_or_a_tenant_that_they_do_not_have(open_serving):
    async with open_serving([answer("hi")]) as (client, daemon):
        scopes = ["keys:admin", "runs:read"]
        small, small_text = daemon.keys.create(now=0.0, scopes=scopes, tenant="acme")
        other, _ = daemon.keys.create(now=0.0, scopes=["runs:write"], tenant="acme")
        theirs, _ = daemon.keys.create(now=0.0, tenant="beta")
        headers = bearer(small_text)

        async def post(path, body):
            return (await client.post(path, json=body, headers=headers)).status_code

        assert await post("/api/v1/keys", {"scopes": ["runs:write"]}) == 403
        assert await post("/api/v1/keys", {"tenant": "beta"}) == 403
        assert await post(f"/api/v1/keys/{other.key_id}/rotate", {}) == 403
        assert await post(f"/api/v1/keys/{theirs.key_id}/rotate", {}) == 404
        assert (await client.delete(f"/api/v1/keys/{theirs.key_id}", headers=headers)).status_code == 404
        assert (await client.get("/api/v1/keys?every_tenant=true", headers=headers)).status_code == 403
        made = await client.post("/api/v1/keys", json={}, headers=headers)
        assert made.json()["about"]["scopes"] == ["runs:read"]
        assert made.json()["about"]["tenant"] == "acme"
        keys = (await client.get("/api/v1/keys", headers=headers)).json()["items"]
        assert {key["tenant"] for key in keys} == {"acme"}
        assert small.key_id in {key["key_id"] for key in keys}
        admin = bearer(daemon.first_key)
        every = (await client.get("/api/v1/keys?every_tenant=true", headers=admin)).json()["items"]
        assert {key["tenant"] for key in every} == {"acme", "beta", "default"}
