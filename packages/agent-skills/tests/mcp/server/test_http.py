"""The server over HTTP, asked by hand: what a client that does not keep to the rules gets to hear."""

import anyio
import msgspec
import pytest

from agent_skills.http import HttpClient, HttpRequest
from agent_skills.mcp import headers, wire
from agent_skills.mcp.server.asgi import McpHttp

META = {wire.VERSION_KEY: "2026-07-28", wire.CAPABILITIES_KEY: {}}


@pytest.fixture
async def post(everything_url):
    client = HttpClient()

    async def post(method="ping", params=None, *, said=None, body=None, http="POST", request_id=1):
        message = wire.request(request_id, method, {"_meta": META} if params is None else params)
        request = HttpRequest(
            method=http,
            url=everything_url,
            headers={"content-type": "application/json", **headers.standard(message), **(said or {})},
            body=wire.encode(message) if body is None else body,
        )
        async with client.send(request) as reply:
            content = await reply.read()
            return reply, msgspec.json.decode(content) if content[:1] == b"{" else content

    yield post
    await client.aclose()


async def shake_hands(post, **capabilities):
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
    reply, answer = await post("initialize", params)
    assert answer["result"]["protocolVersion"] == "2025-11-25"
    return {"mcp-session-id": reply.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"body": b"{"}, 400, wire.Code.PARSE),
        ({"body": b"[]"}, 400, wire.Code.INVALID_REQUEST),
        ({"params": {}}, 400, wire.Code.INVALID_PARAMS),
        ({"method": "unknown/method"}, 404, wire.Code.METHOD_NOT_FOUND),
        ({"method": "initialize"}, 404, wire.Code.METHOD_NOT_FOUND),
        ({"said": {"mcp-method": "tools/list"}}, 400, wire.Code.HEADER_MISMATCH),
        ({"params": {}, "said": {"mcp-protocol-version": "2025-11-25"}}, 400, wire.Code.INVALID_REQUEST),
        (
            {"method": "tools/call", "params": {"name": "test_missing_capability", "_meta": META}},
            400,
            wire.Code.MISSING_CAPABILITY,
        ),
        (
            {"method": "tools/call", "params": {"name": "test_simple_text", "arguments": [], "_meta": META}},
            400,
            wire.Code.INVALID_PARAMS,
        ),
    ],
)
async def test_what_is_wrong_is_said(post, options, status, code):
    reply, answer = await post(**options)
    assert (reply.status, answer["error"]["code"]) == (status, code)


async def test_a_session_begins_serves_and_ends(post):
    session = await shake_hands(post)
    assert (await post("ping", {}, said=session))[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await post("ping", {}, said=session, http="DELETE"))[0].status == 204
    assert (await post("ping", {}, said=session))[0].status == 404
    assert (await post("ping", {}, said=session, http="DELETE"))[0].status == 404


async def test_an_older_client_is_spoken_to_in_its_revision(post):
    for wanted, spoken in (("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-11-25")):
        _, answer = await post("initialize", {"protocolVersion": wanted, "capabilities": {}})
        assert answer["result"]["protocolVersion"] == spoken


@pytest.mark.parametrize(
    "said",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"host": "localhost.evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_page_of_another_site_gets_nothing(post, said):
    assert (await post("server/discover", said=said))[0].status == 403


async def test_other_ways_to_ask(post, everything, serve):
    assert (await post(http="GET"))[0].status == 405
    async with serve(McpHttp(everything.SERVER, max_body_bytes=10)) as url:
        client = HttpClient()
        async with client.send(HttpRequest(method="POST", url=url, body=b"x" * 100)) as reply:
            assert reply.status == 413
        await client.aclose()


async def test_a_cancelled_call_ends_and_the_server_goes_on(post, everything):
    asked = everything.ASKED
    session = await shake_hands(post, elicitation={})
    replies = []

    async def call():
        arguments = {"name": "test_elicitation", "arguments": {"message": "?"}}
        replies.append(await post("tools/call", arguments, said=session, request_id="long"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        while asked == everything.ASKED:  # the question is on its way to the client, who has no answer
            await anyio.sleep(0.02)
        cancelled = wire.notification("notifications/cancelled", {"requestId": "long"})
        reply, _ = await post(said=session, body=wire.encode(cancelled))
        assert reply.status == 202
    assert b"elicitation/create" in replies[0][1]
    assert b"result" not in replies[0][1]
    assert (await post("ping", {}, said=session))[0].status == 200


async def test_a_method_that_breaks_tells_nothing_of_itself(post, everything, caplog):
    async def broken(_exchange, _arguments):
        raise ValueError("password=hunter2")

    everything.TOOLS["test_broken"] = broken
    try:
        _, answer = await post("tools/call", {"name": "test_broken", "_meta": META})
    finally:
        del everything.TOOLS["test_broken"]
    assert answer["error"] == {"code": wire.Code.INTERNAL, "message": "internal error"}
    assert "hunter2" in caplog.text
