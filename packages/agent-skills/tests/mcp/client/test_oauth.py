"""A provider of the SDK's kind, carried by our transport: its own requests go first, then ours with the token."""

from importlib.util import find_spec

import anyio
import pytest

from agent_skills.http import HttpClient
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.http import HttpChannel
from agent_skills.mcp.errors import McpUnavailableError
from agent_skills.mcp.server.asgi import McpHttp

pytestmark = pytest.mark.skipif(find_spec("httpx2") is None, reason="needs the extra agent-skills[mcp]")


def guarded(application, seen):
    """Lets nobody in without the token, which it gives to whoever asks for it."""

    async def serve(scope, receive, send):
        headers = dict(scope["headers"])
        seen.append((scope["path"], headers.get(b"authorization", b"").decode()))
        if scope["path"] == "/token":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"t0ken"})
        elif headers.get(b"authorization") != b"Bearer t0ken":
            challenge = [(b"www-authenticate", b"Bearer"), (b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 401, "headers": challenge})
            await send({"type": "http.response.body", "body": b"no"})
        else:
            await application(scope, receive, send)

    return serve


def provider(url, *, token_path="/token"):
    import httpx2

    class Provider(httpx2.Auth):
        """Does what OAuth providers do: tries, is refused, gets a token, tries again."""

        def __init__(self):
            self.token = ""

        async def async_auth_flow(self, request):
            if self.token:
                request.headers["Authorization"] = f"Bearer {self.token}"
            response = yield request
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == "Bearer"
                given = yield httpx2.Request("POST", f"{url}{token_path}", content=b"grant")
                self.token = (await given.aread()).decode()
                request.headers["Authorization"] = f"Bearer {self.token}"
                yield request

    from agent_skills.mcp.client.oauth import OAuth

    return OAuth(Provider())


async def test_the_token_is_got_once_and_sent_with_every_request(serve, everything):
    seen = []
    client = HttpClient()
    async with serve(guarded(McpHttp(everything.SERVER), seen)) as url:
        channel = HttpChannel("all", f"{url}/mcp", client, authentication=provider(url))
        connection = McpConnection("all", channel)
        async with anyio.create_task_group() as tasks:
            await tasks.start(connection.run)
            result = await connection.call("tools/call", {"name": "test_tool_with_progress", "arguments": {}})
            assert result["content"][0]["text"] == "done"
            tasks.cancel_scope.cancel()
    assert [path for path, _ in seen].count("/token") == 1
    assert seen[0] == ("/mcp", "")
    assert all(sign == "Bearer t0ken" for path, sign in seen[2:])
    await client.aclose()


async def test_a_token_that_is_refused_is_said(serve, everything):
    client = HttpClient()
    async with serve(guarded(McpHttp(everything.SERVER), [])) as url:
        channel = HttpChannel("all", f"{url}/mcp", client, authentication=provider(url, token_path="/mcp"))
        with pytest.raises(McpUnavailableError, match="wants credentials"):
            await McpConnection("all", channel).run()
    await client.aclose()
