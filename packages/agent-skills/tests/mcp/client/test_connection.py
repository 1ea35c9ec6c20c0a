"""A connection, over both transports and both kinds of revision, to real servers."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from agent_skills.http import HttpClient
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.http import HttpChannel
from agent_skills.mcp.client.stdio import StdioChannel, unconfined
from agent_skills.mcp.errors import McpProtocolError, McpRefusedError, McpUnavailableError
from agent_skills.mcp.wire import Code

ECHO = Path(__file__).parent.parent / "echo_server.py"
REVISIONS = ["2026-07-28", "2025-11-25"]


async def fill_in(_message, _schema):
    return {}


def over_stdio(mood="", **options):
    return StdioChannel("echo", unconfined("echo", [sys.executable, str(ECHO), mood], **options))


class Use:
    """Runs a connection for the length of a block."""

    def __init__(self, channel, **options):
        self.connection = McpConnection("echo", channel, ask_person=fill_in, **options)

    async def __aenter__(self):
        self.tasks = anyio.create_task_group()
        await self.tasks.__aenter__()
        await self.tasks.start(self.connection.run)
        return self.connection

    async def __aexit__(self, *error):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(*error)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_tools_of_a_process(revision):
    async with Use(over_stdio("noisy"), revision=revision) as connection:
        assert connection.revision == revision
        assert connection.server == {"name": "echo", "version": "1"}
        assert connection.instructions == "Be kind."
        names = [tool["name"] for tool in await connection.list_all("tools/list", "tools")]
        assert names[:2] == ["echo", "ask"]
        steps = []
        result = await connection.call(
            "tools/call",
            {"name": "echo", "arguments": {"text": "hé"}},
            on_progress=lambda *step: steps.append(step),
        )
        assert result["content"] == [{"type": "text", "text": "hé"}]
        assert steps == [(1, 1, "said")]
        asked = await connection.call("tools/call", {"name": "ask", "arguments": {}})
        assert asked["content"][0]["text"] == "{'action': 'accept', 'content': {'n': 7}}"


async def test_the_newest_revision_that_both_know_is_spoken():
    async with Use(over_stdio()) as connection:
        assert connection.revision == "2026-07-28"


async def test_calls_run_beside_each_other_and_a_cancelled_one_is_let_go():
    async with Use(over_stdio()) as connection:
        with anyio.move_on_after(0.2) as scope:
            await connection.call("tools/call", {"name": "hang", "arguments": {}})
        assert scope.cancelled_caught
        results = []

        async def call(text):
            result = await connection.call("tools/call", {"name": "echo", "arguments": {"text": text}})
            results.append(result["content"][0]["text"])

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call, str(number))
        assert sorted(results, key=int) == [str(number) for number in range(20)]


async def test_a_server_that_dies_is_an_error_for_those_who_wait():
    connection = McpConnection("echo", over_stdio())
    caught = []

    async def wait(name):
        with pytest.raises(McpUnavailableError) as error:
            await connection.call("tools/call", {"name": name, "arguments": {}})
        caught.append(str(error.value))

    async def own(task_status):
        with pytest.raises(McpUnavailableError):
            await connection.run(task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(own)
        tasks.start_soon(wait, "hang")
        tasks.start_soon(wait, "die")
    assert len(caught) == 2
    assert "I had enough" in caught[0]
    with pytest.raises(McpUnavailableError):
        await connection.request("ping")


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        (lambda: over_stdio("broken"), "no module named anything"),
        (lambda: StdioChannel("echo", unconfined("echo", ["/nowhere/at/all"])), "cannot be started"),
        (
            lambda: StdioChannel("echo", unconfined("echo", ["/bin/true"])),
            "it (closed its output|does not read)",
        ),
    ],
)
async def test_a_server_that_does_not_start_says_why(channel, words):
    with pytest.raises(McpUnavailableError, match=words):
        await McpConnection("echo", channel()).run()


async def test_a_process_gets_a_clean_environment_and_leaves_nothing_behind(monkeypatch):
    monkeypatch.setenv("AGENT_TOKEN", "hidden")
    channel = over_stdio(environment={"GIVEN": "1"})
    async with Use(channel) as connection:
        result = await connection.call("tools/call", {"name": "secrets", "arguments": {}})
        names = result["content"][0]["text"].split(",")
        assert "GIVEN" in names
        assert "AGENT_TOKEN" not in names
        pid = channel._process._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_tools_of_a_url(everything_url, revision):
    client = HttpClient()
    async with Use(HttpChannel("all", f"{everything_url}/mcp", client), revision=revision) as connection:
        assert len(await connection.list_all("tools/list", "tools")) > 20
        steps = []
        call = {"name": "test_tool_with_progress", "arguments": {}}
        await connection.call("tools/call", call, on_progress=lambda *step: steps.append(step[0]))
        assert steps == [0, 50, 100]
        call = {"name": "test_elicitation", "arguments": {"message": "who?"}}
        if revision == "2025-11-25":
            result = await connection.call("tools/call", call)
            assert "action=accept" in result["content"][0]["text"]
        with pytest.raises(McpRefusedError) as caught:
            await connection.call("tools/call", {"name": "nothing"})
        assert caught.value.code == Code.INVALID_PARAMS
    await client.aclose()


async def test_a_change_of_the_tools_is_told(everything_url):
    client = HttpClient()
    told = anyio.Event()
    async with Use(HttpChannel("all", everything_url, client), on_change=told.set) as connection:
        with anyio.fail_after(10):
            while not told.is_set():  # the listener may not be there yet
                await connection.call("tools/call", {"name": "test_trigger_tool_change"})
                await anyio.sleep(0.05)
    await client.aclose()


async def test_a_session_that_is_forgotten_ends_the_connection(serve, everything):
    from agent_skills.mcp.server.asgi import McpHttp

    application = McpHttp(everything.SERVER)
    client = HttpClient()
    async with serve(application) as url:
        connection = McpConnection("all", HttpChannel("all", url, client), revision="2025-11-25")

        async def own(task_status):
            with pytest.raises(McpUnavailableError, match="forgotten"):
                await connection.run(task_status=task_status)

        async with anyio.create_task_group() as tasks:
            await tasks.start(own)
            application._sessions.clear()
            with pytest.raises(McpUnavailableError):
                await connection.request("ping")
    await client.aclose()


def answering(*replies):
    """A server that answers each POST with the next of these: status, content type, body (from the request's id)."""
    import msgspec

    waiting = list(replies)

    async def application(scope, receive, send):
        body = b""
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event.get("more_body"):
                break
        request = msgspec.json.decode(body) if body else {}
        status, kind, make, *more = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        reply = make(request) if callable(make) else make
        headers = [(b"content-type", kind.encode()), *(more[0] if more else ())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return application


def reply_with(**result):
    import msgspec

    return lambda request: msgspec.json.encode({"jsonrpc": "2.0", "id": request.get("id"), "result": result})


DISCOVERED = reply_with(supportedVersions=["2026-07-28"], capabilities={})


@pytest.mark.parametrize(
    ("replies", "error", "words"),
    [
        ([(401, "text/plain", b"")], McpUnavailableError, "wants credentials"),
        ([(500, "text/plain", b"")], McpUnavailableError, "HTTP 500"),
        ([(200, "text/html", b"<html>")], McpProtocolError, "text/html"),
        ([(200, "application/json", b"nonsense")], McpProtocolError, "no JSON"),
        ([(200, "text/event-stream", b"data: {}\n\n")], McpProtocolError, "neither"),
        ([(200, "text/event-stream", b": silence\n\n")], McpUnavailableError, "without an answer"),
        ([(200, "application/json", reply_with(protocolVersion="2019"))], McpProtocolError, "speaks '2019'"),
        (
            [(307, "text/plain", b"", [(b"location", b"http://127.0.0.2:1/")])],
            McpUnavailableError,
            "HTTP 307",
        ),
    ],
)
async def test_a_url_that_is_no_server_says_why(serve, replies, error, words):
    client = HttpClient()
    async with serve(answering(*replies)) as url:
        with pytest.raises(error, match=words):
            await McpConnection("odd", HttpChannel("odd", url, client)).run()
    await client.aclose()


async def test_a_server_that_keeps_asking_is_stopped(serve):
    again = reply_with(resultType="input_required", requestState="x", inputRequests={})
    client = HttpClient()
    async with (
        serve(answering((200, "application/json", DISCOVERED), (200, "application/json", again))) as url,
        Use(HttpChannel("odd", url, client)) as connection,
    ):
        with pytest.raises(McpProtocolError, match="asked back"):
            await connection.call("tools/call", {"name": "x"})
    await client.aclose()


async def test_an_endless_list_is_stopped(serve):
    page = reply_with(tools=[], nextCursor="more")
    client = HttpClient()
    async with (
        serve(answering((200, "application/json", DISCOVERED), (200, "application/json", page))) as url,
        Use(HttpChannel("odd", url, client)) as connection,
    ):
        with pytest.raises(McpProtocolError, match="pages"):
            await connection.list_all("tools/list", "tools")
    await client.aclose()
