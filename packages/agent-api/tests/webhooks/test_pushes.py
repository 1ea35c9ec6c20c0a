"""Push notifications of tasks: set, looked at and taken back in both revisions; delivered as webhooks are, to no address inside."""

import json
from contextlib import asynccontextmanager

import anyio
import pytest

from agent_core.testing import answer, call

ASKS = call("ask_person", {"question": "Which colour?"}, tool_call_id="q")


class Agent:
    """A client of one revision, with the words of either."""

    def __init__(self, client, revision):
        self._client = client
        self.is_v1 = revision == "1.0"

    async def ask(self, v1, v03, **headers):
        (method, params) = v1 if self.is_v1 else v03
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        reply = await self._client.post("/a2a", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def send(self, push=None, *, waits=True, **headers):
        said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
        v1 = {"returnImmediately": not waits} | ({"taskPushNotificationConfig": push} if push else {})
        v03 = {"blocking": waits} | ({"pushNotificationConfig": push} if push else {})
        old = {**said, "kind": "message", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}
        reply = await self.ask(
            ("SendMessage", {"message": said, "configuration": v1}),
            ("message/send", {"message": old, "configuration": v03}),
            **headers,
        )
        if "error" in reply:
            return reply["error"]
        return reply["result"]["task"] if self.is_v1 else reply["result"]

    async def set(self, task_id, **push):
        return await self.ask(
            ("CreateTaskPushNotificationConfig", {"taskId": task_id, **push}),
            ("tasks/pushNotificationConfig/set", {"taskId": task_id, "pushNotificationConfig": push}),
        )

    async def listed(self, task_id):
        reply = await self.ask(
            ("ListTaskPushNotificationConfigs", {"taskId": task_id}),
            ("tasks/pushNotificationConfig/list", {"id": task_id}),
        )
        result = reply["result"]
        return result["configs"] if self.is_v1 else [one["pushNotificationConfig"] for one in result]

    async def get(self, task_id, config_id):
        return await self.ask(
            ("GetTaskPushNotificationConfig", {"taskId": task_id, "id": config_id}),
            ("tasks/pushNotificationConfig/get", {"id": task_id, "pushNotificationConfigId": config_id}),
        )

    async def delete(self, task_id, config_id):
        return await self.ask(
            ("DeleteTaskPushNotificationConfig", {"taskId": task_id, "id": config_id}),
            ("tasks/pushNotificationConfig/delete", {"id": task_id, "pushNotificationConfigId": config_id}),
        )

    def config(self, result):
        return result if self.is_v1 else result["pushNotificationConfig"]

    def authentication(self):
        scheme = {"scheme": "Bearer"} if self.is_v1 else {"schemes": ["Bearer"]}
        return {**scheme, "credentials": "their-secret"}

    def told(self, body):
        """The task in a notification, and how it stands."""
        task = json.loads(body)
        task = task["task"] if self.is_v1 else task
        return task, task["status"]["state"].removeprefix("TASK_STATE_").lower().replace("_", "-")


@pytest.fixture(params=["1.0", "0.3"])
def talking(request, open_with_hooks):
    @asynccontextmanager
    async def opened(port, replies, **settings):
        async with open_with_hooks(port, replies, **settings) as (client, daemon):
            yield Agent(client, request.param), client, daemon

    return opened


async def test_the_end_of_a_task_is_pushed_with_its_token_signed_and_once(receiving, talking, tmp_path):
    async with receiving() as receiver, talking(receiver.port, [answer("42")]) as (agent, client, _):
        push = {"url": receiver.url, "token": "tok-1", "authentication": agent.authentication()}
        task = await agent.send(push)
        await receiver.until(1)
        (headers, body) = receiver.got[0]
        assert headers["x-a2a-notification-token"] == "tok-1"
        assert headers["authorization"] == "Bearer their-secret"
        assert headers["webhook-signature"].startswith("v1,")
        told, state = agent.told(body)
        assert (told["id"], state) == (task["id"], "completed")
        assert told["artifacts"][0]["parts"][0]["text"] == "42"
        (config,) = await agent.listed(task["id"])
        again = await agent.set(task["id"], url=receiver.url, id="again")  # it is over: told at once
        assert "result" in again, again
        await receiver.until(2)
        assert receiver.got[1][0]["webhook-id"] == headers["webhook-id"], "the same message"
        assert "their-secret" not in json.dumps(config)
        assert (await client.get("/api/v1/webhooks")).json()["items"] == [], "they are listed by their task"
        for path in (tmp_path / "data").rglob("*.log"):
            assert b"their-secret" not in path.read_bytes()


async def test_a_task_that_waits_is_pushed_and_its_end_too(receiving, talking):
    settings = {"ask_person": True}
    async with (
        receiving(503, 200) as receiver,
        talking(receiver.port, [ASKS, answer("green")], **settings) as (agent, _, _),
    ):
        task = await agent.send({"url": receiver.url})
        await receiver.until(1)
        assert agent.told(receiver.got[0][1])[1] == "input-required"
        said = {"messageId": "n", "role": "ROLE_USER", "parts": [{"text": "green"}], "taskId": task["id"]}
        old = {**said, "role": "user", "parts": [{"kind": "text", "text": "green"}]}
        await agent.ask(("SendMessage", {"message": said}), ("message/send", {"message": old}))
        with anyio.fail_after(30):
            while "completed" not in {agent.told(body)[1] for _, body in receiver.got}:
                await anyio.sleep(0.02)


async def test_configurations_are_set_looked_at_and_taken_back(receiving, talking):
    async with receiving() as receiver, talking(receiver.port, [answer("x")]) as (agent, _, _):
        task_id = (await agent.send())["id"]
        assert await agent.listed(task_id) == []
        made = agent.config((await agent.set(task_id, url=receiver.url, token="t"))["result"])
        assert (made["url"], made["token"], bool(made["id"])) == (receiver.url, "t", True)
        await agent.set(task_id, url=receiver.url, id="mine")
        await agent.set(task_id, url=receiver.url + "&y=2", id="mine")  # takes its place
        assert [one["url"] for one in await agent.listed(task_id)] == [receiver.url, receiver.url + "&y=2"]
        found = agent.config((await agent.get(task_id, "mine"))["result"])
        assert found["url"] == receiver.url + "&y=2"
        for _ in range(2):
            gone = await agent.delete(task_id, "mine")
            assert gone["result"] == ({} if agent.is_v1 else None)
        assert (await agent.get(task_id, "mine"))["error"]["code"] == -32001
        assert (await agent.set("run_none", url=receiver.url))["error"]["code"] == -32001
        for wrong in ({"url": "no address"}, {"url": receiver.url, "token": "a\r\nX-Evil: 1"}):
            assert (await agent.set(task_id, **wrong))["error"]["code"] == -32602


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://169.254.169.254/latest", "https://[::1]/"])
async def test_nothing_is_pushed_to_an_address_inside(talking, url):
    async with talking(443, [answer("x")], webhook_networks="") as (agent, client, _):
        task_id = (await agent.send())["id"]
        assert (await agent.set(task_id, url=url))["error"]["code"] == -32602
        before = (await client.get("/api/v1/runs")).json()["items"]
        assert (await agent.send({"url": url}))["code"] == -32602
        assert (await client.get("/api/v1/runs")).json()["items"] == before, "nothing was begun"


async def test_a_key_needs_its_scopes_and_its_pushes_end_with_it(receiving, talking):
    async with (
        receiving() as receiver,
        talking(receiver.port, [answer("x"), answer("y")]) as (agent, client, daemon),
    ):
        plain = daemon.keys.create(now=0.0, scopes=["runs:read", "runs:write"])[1]
        reply = await client.post(
            "/a2a",
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "CreateTaskPushNotificationConfig",
                "params": {"taskId": "x", "url": receiver.url},
            },
            headers={"authorization": f"Bearer {plain}"},
        )
        assert reply.status_code == 403
        scopes = ["runs:read", "runs:write", "webhooks:write"]
        maker, text = daemon.keys.create(now=0.0, scopes=scopes)
        gate = anyio.Event()
        model = daemon.tenants.machine.model
        told = model.stream

        async def later(request):
            await gate.wait()
            async for item in told(request):
                yield item

        model.stream = later
        task = await agent.send({"url": receiver.url}, waits=False, authorization=f"Bearer {text}")
        daemon.keys.revoke(maker.key_id, now=1.0, tenant=None)
        gate.set()
        with anyio.fail_after(30):
            while (await client.get(f"/api/v1/runs/{task['id']}")).json()["status"] != "done":
                await anyio.sleep(0.01)
        await anyio.sleep(0.3)  # longer than it takes to be written down and sent
        assert receiver.got == []


async def test_what_is_erased_with_a_session_is_not_pushed_any_more(receiving, talking):
    async with receiving(503) as receiver, talking(receiver.port, [answer("x")]) as (agent, client, _):
        task = await agent.send({"url": receiver.url})
        await receiver.until(1)
        erased = await client.delete(f"/api/v1/sessions/{task['contextId']}")
        assert erased.status_code == 200, erased.text
        reply = await agent.get(task["id"], "")
        assert reply["error"]["code"] == -32001
