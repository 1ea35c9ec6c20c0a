"""A browser's session: a cookie in the place of a key, that scripts cannot read and other sites cannot use."""

import time
from contextlib import suppress

import httpx
import pytest
from litestar.exceptions import WebSocketDisconnect

from agent_api.access import console
from agent_api.access.console import COOKIE
from agent_core.testing import answer

URL = "/console/session"
OURS = {"Origin": "http://agentd"}


async def logged_in(client, key, **headers):
    reply = await client.post(URL, headers={"Authorization": f"Bearer {key}", **headers})
    assert reply.status_code == 201, reply.text
    return reply


async def test_a_browser_logs_in_goes_on_without_the_key_and_logs_out(open_serving, tmp_path):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        reply = await logged_in(client, daemon.first_key, **OURS)
        cookie = reply.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
            assert part in cookie
        assert "Secure" not in cookie  # plain HTTP on loopback: a browser would drop it
        token = reply.json()["csrf_token"]

        who = (await client.get(URL)).json()
        assert (who["key_id"], who["csrf_token"]) == (daemon.first_key.split("_")[1], token)
        runs = await client.post(
            "/api/v1/runs", json={"prompt": "x"}, headers={**OURS, "X-CSRF-Token": token}
        )
        assert runs.status_code == 202
        kept = (tmp_path / "data" / "access" / "console.db").read_bytes()
        wal = (tmp_path / "data" / "access" / "console.db-wal").read_bytes()
        assert client.cookies[COOKIE].encode() not in kept + wal

        value = client.cookies[COOKIE]
        out = await client.delete(URL, headers={**OURS, "X-CSRF-Token": token})
        assert out.status_code == 204
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert (await client.get(URL, headers={"Cookie": f"{COOKIE}={value}"})).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://agentd"},
        {"Origin": "http://agentd", "X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "right"},
        {"Origin": "https://elsewhere.example", "X-CSRF-Token": "right"},
        {"Origin": "null", "X-CSRF-Token": "right"},
        {"Origin": "http://agentd.elsewhere.example", "X-CSRF-Token": "right"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_what_changes_something_needs_our_page_and_its_token(open_serving, method, headers):
    async with open_serving([]) as (client, daemon):
        token = (await logged_in(client, daemon.first_key)).json()["csrf_token"]
        sent = {name: token if value == "right" else value for name, value in headers.items()}
        reply = await client.request(method, "/api/v1/sessions/x", headers=sent, json={})
        assert (reply.status_code, reply.json()["type"]) == (403, "urn:agentd:origin-refused")
        assert (await client.get("/api/v1/sessions")).status_code == 200


async def test_a_page_of_another_site_cannot_log_in(open_serving):
    async with open_serving([]) as (client, daemon):
        headers = {"Authorization": f"Bearer {daemon.first_key}", "Origin": "https://elsewhere.example"}
        assert (await client.post(URL, headers=headers)).status_code == 403
        token = (await logged_in(client, daemon.first_key)).json()["csrf_token"]
        again = await client.post(URL, headers={**OURS, "X-CSRF-Token": token})
        assert again.status_code == 401  # a session does not beget sessions


async def test_a_session_ends_with_its_key_with_idleness_and_with_age(open_serving, monkeypatch):
    async with open_serving([]) as (client, daemon):
        key, text = daemon.keys.create(now=time.time())
        await logged_in(client, text)
        token, now = client.cookies[COOKIE], time.time()
        find = daemon.console.find
        assert find(token, now + console.IDLE_S - 1)[0].key_id == key.key_id
        assert find(token, now + 2 * console.IDLE_S - 5)  # it was used in between
        with pytest.raises(Exception, match="valid"):
            find(token, now + 4 * console.IDLE_S)
        await logged_in(client, text)
        token, now = client.cookies[COOKIE], time.time()
        for times in range(1, 24):
            find(token, now + times * (console.IDLE_S - 10))
        with pytest.raises(Exception, match="valid"):
            find(token, now + console.ABSOLUTE_S)
        await logged_in(client, text)
        assert (await client.get(URL)).status_code == 200
        daemon.keys.revoke(key.key_id, now=time.time(), tenant=None)
        assert (await client.get(URL)).status_code == 401


async def test_behind_tls_the_cookie_is_secure_and_the_origin_is_the_one_that_is_set(open_serving):
    async with open_serving([], origin="https://agent.example.org") as (client, daemon):
        headers = {"Authorization": f"Bearer {daemon.first_key}"}
        assert (await client.post(URL, headers={**headers, **OURS})).status_code == 403
        reply = await client.post(URL, headers={**headers, "Origin": "https://agent.example.org"})
        assert reply.status_code == 201
        assert reply.headers["set-cookie"].endswith("; Secure")


async def test_whatever_the_console_gets_tells_the_browser_to_be_careful(open_serving):
    async with open_serving([]) as (client, daemon):
        for reply in (await client.get(URL), await logged_in(client, daemon.first_key)):
            assert reply.headers["content-security-policy"].startswith("default-src 'self'")
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["x-frame-options"] == "DENY"
            assert "access-control-allow-origin" not in reply.headers
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        for path in (URL, "/api/v1/runs", "/v1/chat/completions"):
            reply = await client.options(path, headers=asked)
            assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "cookie", [f"{COOKIE}=", f"{COOKIE}=x", f'{COOKIE}="', f"{COOKIE}={'x' * 3000}", "a=b; ;;", "ü"]
)
async def test_a_cookie_that_is_none_opens_nothing(open_serving, cookie):
    async with open_serving([]) as (client, _):
        assert (await client.get(URL, headers={"Cookie": cookie.encode()})).status_code == 401


async def test_a_websocket_of_a_session_needs_our_origin(open_serving):
    async with open_serving([answer("Fine.")]) as (client, daemon):
        await logged_in(client, daemon.first_key)
        headers = {"Authorization": f"Bearer {daemon.first_key}"}
        run_id = (await client.post("/api/v1/runs", json={"prompt": "x"}, headers=headers)).json()["run_id"]
        application = client._transport.app

        async def opened(*fields):
            sent = []

            async def receive():
                return {"type": "websocket.connect"}

            async def send(message):
                sent.append(message)
                if message["type"] == "websocket.accept":
                    raise WebSocketDisconnect(detail="enough")

            cookie = (b"cookie", f"{COOKIE}={client.cookies[COOKIE]}".encode())
            scope = {
                "type": "websocket",
                "path": f"/api/v1/runs/{run_id}/socket",
                "raw_path": f"/api/v1/runs/{run_id}/socket".encode(),
                "query_string": b"",
                "root_path": "",
                "scheme": "ws",
                "server": ("agentd", 80),
                "client": ("127.0.0.1", 1),
                "subprotocols": [],
                "headers": [(b"host", b"agentd"), cookie, *fields],
            }
            with suppress(WebSocketDisconnect):
                await application(scope, receive, send)
            return sent[0]["type"]

        assert await opened() == "websocket.close"
        assert await opened((b"origin", b"https://elsewhere.example")) == "websocket.close"
        assert await opened((b"origin", b"http://agentd")) == "websocket.accept"


async def test_what_is_shown_once_is_not_kept_for_a_second_time(open_serving, tmp_path):
    async with open_serving([]) as (client, daemon):
        headers = {"Authorization": f"Bearer {daemon.first_key}", "Idempotency-Key": "one"}
        first = await client.post("/api/v1/keys", json={"name": "x"}, headers=headers)
        again = await client.post("/api/v1/keys", json={"name": "x"}, headers=headers)
        assert (first.status_code, again.status_code) == (201, 409)
        assert "shown once" in again.json()["detail"]
        assert len((await client.get("/api/v1/keys", headers=headers)).json()["items"]) == 2
        begun: httpx.Response = await client.post(URL, headers={**headers, "Idempotency-Key": "two"})
        secrets = (first.json()["key"], begun.cookies[COOKIE], begun.json()["csrf_token"])
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            kept = path.read_bytes()
            assert [one for one in secrets if one.encode() in kept] == [], path
