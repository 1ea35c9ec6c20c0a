"""Responses over a WebSocket: one after another, gone on from, refused; each message is a request of its own."""

import json

import anyio
import pytest

from agent_api.app import create_app
from agent_core.errors import ModelUnavailableError
from agent_core.testing import answer

MODEL = "test:scripted"
LAST = {"error", "response.completed", "response.failed"}


class Socket:
    """One connection, spoken as a server speaks to an application (ASGI 3.0)."""

    def __init__(self, app, key):
        self._app = app
        self._scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "scheme": "ws",
            "path": "/v1/responses",
            "raw_path": b"/v1/responses",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"agentd"), (b"authorization", f"Bearer {key}".encode())],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }

    async def __aenter__(self):
        self._to_app, receive = anyio.create_memory_object_stream(10)
        send, self._from_app = anyio.create_memory_object_stream(10_000)
        self._streams = (self._to_app, receive, send, self._from_app)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._app, self._scope, receive.receive, send.send)
        await self._to_app.send({"type": "websocket.connect"})
        assert (await self._from_app.receive())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *error):
        await self._to_app.send({"type": "websocket.disconnect", "code": 1000})
        try:
            await self._tasks.__aexit__(*error)
        finally:
            for stream in self._streams:
                stream.close()

    async def ask(self, text="hello", **fields):
        body = {"type": "response.create", "model": MODEL, "input": text, **fields}
        await self._to_app.send({"type": "websocket.receive", "text": json.dumps(body)})
        seen = []
        with anyio.fail_after(10):
            while not seen or seen[-1]["type"] not in LAST:
                seen.append(json.loads((await self._from_app.receive())["text"]))
        return seen


@pytest.fixture
def speaking(serving):
    """Run a conversation over a WebSocket."""

    async def run(replies, script):
        async with serving(replies) as (_, daemon), Socket(create_app(daemon), daemon.first_key) as socket:
            await script(socket.ask, daemon)

    return run


async def test_one_response_after_another(speaking, wrong_event):
    async def script(ask, daemon):
        first = await ask("a")
        for event in first:
            assert wrong_event(event) == []
        second = await ask("b", model="agent", previous_response_id=first[-1]["response"]["id"])
        assert second[-1]["response"]["output"][0]["content"][0]["text"] == "two"
        texts = [message.text for message in daemon.tenants.machine.model.requests[1].messages]
        assert texts[-3:] == ["a", "one", "b"]

    await speaking([answer("one"), answer("two")], script)


async def test_what_is_not_stored_is_gone_on_from_until_something_fails(speaking, wrong):
    async def script(ask, daemon):
        first = (await ask("a", store=False))[-1]["response"]["id"]
        second = (await ask("b", store=False, previous_response_id=first))[-1]["response"]["id"]
        (failed,) = await ask("c", previous_response_id=second, tool_choice={"type": "function", "name": "x"})
        assert (failed["status"], failed["error"]["param"]) == (400, "tool_choice")
        (lost,) = await ask("d", previous_response_id=second)
        assert (lost["type"], lost["status"], lost["error"]["code"]) == (
            "error",
            400,
            "previous_response_not_found",
        )
        assert wrong(lost, "WebSocketErrorEvent", "open-responses.json") == []
        assert (await ask("e"))[-1]["type"] == "response.completed"

    await speaking([answer("x")], script)


async def test_a_wrong_message_and_a_revoked_key(speaking):
    async def script(ask, daemon):
        for fields, param in (({"type": "x"}, "type"), ({"stream": True}, "stream"), ({"top_p": 3}, "top_p")):
            (refused,) = await ask(**fields)
            assert (refused["status"], refused["error"]["param"]) == (400, param)
        daemon.keys.revoke(daemon.first_key.split("_")[1], now=0.0, tenant=None)
        (refused,) = await ask()
        assert refused["status"] == 401

    await speaking([answer("x")], script)


async def test_a_model_that_cannot_be_asked(speaking):
    async def script(ask, daemon):
        assert (await ask())[-1]["type"] == "response.failed"

    await speaking([ModelUnavailableError("gone fishing")], script)


@pytest.mark.parametrize("store", [True, False])
async def test_what_is_sent_ahead_is_gone_on_from_and_nobody_answers_it(speaking, wrong_event, store):
    async def script(ask, daemon):
        model = daemon.tenants.machine.model
        ahead = await ask("a long text", generate=False, store=store)
        for event in ahead:
            assert wrong_event(event) == []
        made = ahead[-1]["response"]
        assert (made["status"], made["output"], made["usage"]["total_tokens"]) == ("completed", [], 0)
        assert model.requests == []
        last = (await ask("and?", previous_response_id=made["id"], store=store))[-1]["response"]
        assert last["output"][0]["content"][0]["text"] == "one"
        assert [message.text for message in model.requests[0].messages] == ["a long text", "and?"]
        empty = (await ask([], generate=False, instructions="Be brief.", store=store))[-1]
        assert empty["type"] == "response.completed"

    await speaking([answer("one")], script)


async def test_several_conversations_over_one_connection_are_refused_by_name(speaking):
    async def script(ask, _):
        (refused,) = await ask(stream_id="two")
        assert (refused["status"], refused["error"]["param"]) == (400, "stream_id")

    await speaking([], script)
