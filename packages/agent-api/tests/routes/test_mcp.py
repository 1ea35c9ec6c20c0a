"""The skills over MCP: asked in both revisions, by our own client and by the SDK's, each key apart from the others."""

import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import anyio
import httpx
import pytest

from agent_api.app import create_app
from agent_core.policy import Rules, Verdict
from agent_core.testing import answer
from agent_core.tools import Label
from agent_skills import skill
from agent_skills.http import HttpClient
from agent_skills.mcp import wire
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.http import HttpChannel
from agent_skills.mcp.headers import standard

META = {wire.VERSION_KEY: "2026-07-28", wire.CAPABILITIES_KEY: {}}
SUM = {"name": "calculator", "arguments": {"expression": "6*7"}}


def bearer(text):
    return {"authorization": f"Bearer {text}"}


async def post(client, key, method, params=None, *, meta=META, request_id=1, **headers):
    """One message; without `meta` it is one of a revision with sessions."""
    params = {**(params or {}), **({"_meta": meta} if meta else {})}
    message = wire.request(request_id, method, params)
    said = standard(message) if meta else {}
    headers = {**said, **bearer(key), **{name.replace("_", "-"): text for name, text in headers.items()}}
    return await client.post("/mcp", content=wire.encode(message), headers=headers)


async def begin(client, key, **capabilities):
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
    reply = await post(client, key, "initialize", params, meta=None)
    assert reply.status_code == 200, reply.text
    return {"mcp_session_id": reply.headers["mcp-session-id"], "mcp_protocol_version": "2025-11-25"}


@asynccontextmanager
async def listening(daemon):
    """The daemon's application on a port of its own."""
    import uvicorn

    config = uvicorn.Config(create_app(daemon), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve)
        while not server.started:
            await anyio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
        server.should_exit = True


async def test_the_skills_of_the_tenant_are_tools(open_serving):
    async with open_serving([answer("x")], ask_person=True) as (client, daemon):
        key = daemon.first_key
        tools = (await post(client, key, "tools/list")).json()["result"]["tools"]
        names = {tool["name"] for tool in tools}
        assert {"calculator", "clock"} <= names
        assert "ask_person" not in names
        called = (await post(client, key, "tools/call", SUM)).json()["result"]
        assert (called["isError"], called["content"][0]["text"]) == (False, "42")
        wrong = (await post(client, key, "tools/call", {"name": "none", "arguments": {}})).json()
        assert wrong["error"]["code"] == wire.Code.INVALID_PARAMS
        with anyio.fail_after(5):
            while not (lines := await audited(client, key)):
                await anyio.sleep(0.05)
        assert [(line["target"], line["status"]) for line in lines] == [("calculator", 200)]


async def audited(client, key):
    lines = (await client.get("/api/v1/audit", headers=bearer(key))).json()["items"]
    return [line["entry"] for line in lines if line["entry"]["action"] == "skill called over MCP"]


async def test_a_session_is_of_no_use_to_another_key(open_serving):
    async with open_serving([answer("x")]) as (client, daemon):
        session = await begin(client, daemon.first_key)
        own = await post(client, daemon.first_key, "tools/list", meta=None, **session)
        assert own.json()["result"]["tools"]
        for tenant in ("default", "other"):
            key = daemon.keys.create(now=0.0, tenant=tenant)[1]
            stolen = await post(client, key, "tools/list", meta=None, **session)
            assert stolen.status_code == 404
        headers = {**bearer(daemon.first_key), "mcp-session-id": session["mcp_session_id"]}
        assert (await client.delete("/mcp", headers=headers)).status_code == 204
        assert (await client.delete("/mcp", headers=headers)).status_code == 404


async def test_a_skill_that_sends_out_needs_the_clients_user(open_serving):
    sent = []

    @skill(labels=(Label.SENDS_OUT,))
    def send(text: str) -> str:
        """Send a text."""
        sent.append(text)
        return "sent"

    async with open_serving([answer("x")]) as (client, daemon):
        skills = (await daemon.tenants.supervisor("default")).agent.skills
        skills.registry.mount("test", [send])
        ask = {"name": "send", "arguments": {"text": "hello"}}
        refused = await post(client, daemon.first_key, "tools/call", ask)
        assert refused.json()["error"]["code"] == wire.Code.MISSING_CAPABILITY
        meta = {**META, wire.CAPABILITIES_KEY: {"elicitation": {}}}
        asked = (await post(client, daemon.first_key, "tools/call", ask, meta=meta)).json()["result"]
        assert "hello" in asked["inputRequests"]["allow"]["params"]["message"]
        assert sent == []
        for allow in (False, True):
            reply = {"allow": {"action": "accept", "content": {"allow": allow}}}
            again = {**ask, "inputResponses": reply, "requestState": asked.get("requestState")}
            done = (await post(client, daemon.first_key, "tools/call", again, meta=meta)).json()["result"]
            assert done["isError"] is not allow
        assert sent == ["hello"]


async def test_a_tool_that_the_policy_denies_is_not_offered(open_serving):
    policy = Rules(tools={"calculator": Verdict.DENY, "clock": Verdict.ASK})
    async with open_serving([answer("x")], policy=policy) as (client, daemon):
        tools = (await post(client, daemon.first_key, "tools/list")).json()["result"]["tools"]
        assert {tool["name"] for tool in tools} & {"calculator", "clock"} == {"clock"}
        called = (await post(client, daemon.first_key, "tools/call", SUM)).json()
        assert called["error"]["code"] == wire.Code.INVALID_PARAMS


async def test_when_all_places_are_taken_a_call_says_so(open_serving):
    async with open_serving([answer("x")], max_runs=1) as (client, daemon):
        daemon.tenants.capacity.take()
        called = (await post(client, daemon.first_key, "tools/call", SUM)).json()["result"]
        assert called["isError"] is True
        assert "try again" in called["content"][0]["text"]
        daemon.tenants.capacity.release()
        assert (await post(client, daemon.first_key, "tools/call", SUM)).json()["result"]["isError"] is False


async def test_what_is_no_message_and_a_page_of_another_site_are_refused(open_serving):
    async with open_serving([answer("x")]) as (client, daemon):
        key = daemon.first_key
        broken = await client.post("/mcp", content=b"{", headers=bearer(key))
        assert (broken.status_code, broken.json()["error"]["code"]) == (400, wire.Code.PARSE)
        large = await client.post("/mcp", content=b" " * (2 * 1024 * 1024 + 1), headers=bearer(key))
        assert large.status_code == 413
        page = await post(client, key, "tools/list", origin="http://evil.example")
        assert (page.status_code, page.json()["type"]) == (403, "urn:agentd:origin-refused")
        assert (await post(client, key, "tools/list", origin="http://agentd")).status_code == 200


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_our_client_speaks_with_it(open_serving, revision):
    async with open_serving([answer("x")]) as (_, daemon), listening(daemon) as url:
        client = HttpClient()
        channel = HttpChannel("agentd", url, client, headers=bearer(daemon.first_key))
        connection = McpConnection("agentd", channel, revision=revision)
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(30):
                await tasks.start(connection.run)
                assert "calculator" in [
                    tool["name"] for tool in await connection.list_all("tools/list", "tools")
                ]
                result = await connection.call("tools/call", SUM)
            tasks.cancel_scope.cancel()
        assert connection.revision == revision
        assert result["content"][0]["text"] == "42"
        await client.aclose()


@pytest.mark.skipif(find_spec("mcp") is None, reason="needs the extra agent-skills[mcp]")
async def test_the_sdk_speaks_with_it(open_serving):
    script = str(Path(__file__).with_name("mcp_sdk_client.py"))
    async with open_serving([answer("x")]) as (_, daemon), listening(daemon) as url:
        done = await anyio.run_process([sys.executable, script, url, daemon.first_key], check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode().splitlines() == ["auto 2026-07-28 42", "legacy 2025-11-25 42"]


async def test_a_daemon_that_goes_ends_what_is_open(open_serving):
    message = wire.request(1, "subscriptions/listen", {"_meta": META, "notifications": {}})
    async with open_serving([answer("x")]) as (_, daemon), listening(daemon) as url:
        headers = {**standard(message), **bearer(daemon.first_key)}
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("POST", url, content=wire.encode(message), headers=headers) as reply,
        ):
            with anyio.fail_after(30):
                lines = reply.aiter_lines()
                assert await anext(lines) == "event: message"
                daemon.tenants.shut_down()
                rest = [line async for line in lines]
        assert "acknowledged" in rest[0]
