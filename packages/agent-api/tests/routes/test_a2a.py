"""Other agents as clients: tasks in both revisions, what they hear, what they may not, and what the card says to whom."""

import base64
import json
from contextlib import asynccontextmanager

import anyio
import pytest

from agent_core.errors import ModelRefusedError, ModelUnavailableError
from agent_core.messages import File, Image, Message, Text
from agent_core.testing import answer, call

ASKS = call("ask_person", {"question": "Which colour?"}, tool_call_id="q")


class Agent:
    """A client of one revision."""

    def __init__(self, client, key, revision):
        self._client = client
        self._headers = {"authorization": f"Bearer {key}", "a2a-version": revision}
        self._is_v1 = revision == "1.0"

    def name(self, v1, v03):
        return v1 if self._is_v1 else v03

    async def post(self, method, params, **headers):
        body = {"jsonrpc": "2.0", "id": "x", "method": method, "params": params}
        return await self._client.post("/a2a", json=body, headers=self._headers | headers)

    async def ask(self, v1, v03, params):
        reply = await self.post(self.name(v1, v03), params)
        assert reply.status_code == 200, reply.text
        assert reply.json()["id"] == "x"
        return reply.json()

    def message(self, text, **fields):
        part = {"text": text} if self._is_v1 else {"kind": "text", "text": text}
        said = {"messageId": "m1", "role": self.name("ROLE_USER", "user"), "parts": [part], **fields}
        return said if self._is_v1 else {"kind": "message", **said}

    async def send(self, text, configuration=None, **fields):
        params = {"message": self.message(text, **fields), "configuration": configuration or {}}
        reply = await self.ask("SendMessage", "message/send", params)
        if "error" in reply:
            return reply["error"]
        return reply["result"]["task"] if self._is_v1 else reply["result"]

    async def get(self, task_id, **fields):
        return (await self.ask("GetTask", "tasks/get", {"id": task_id, **fields}))["result"]

    async def stream(self, v1, v03, params):
        reply = await self.post(self.name(v1, v03), params)
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
        lines = [line for line in reply.text.splitlines() if line.startswith("data: ")]
        results = [json.loads(line[len("data: ") :])["result"] for line in lines]
        return results if self._is_v1 else [self._as_v1(result) for result in results]

    @staticmethod
    def _as_v1(result):
        kind = {"task": "task", "status-update": "statusUpdate", "artifact-update": "artifactUpdate"}
        return {kind[result["kind"]]: result}

    def state(self, task):
        word = task["status"]["state"]
        return word.removeprefix("TASK_STATE_").lower().replace("_", "-") if self._is_v1 else word


def text_of(task):
    return "".join(part["text"] for artifact in task.get("artifacts", ()) for part in artifact["parts"])


@pytest.fixture(params=["1.0", "0.3"])
def talking(open_serving, request):
    @asynccontextmanager
    async def opened(replies, **settings):
        async with open_serving(replies, **settings) as (client, daemon):
            yield Agent(client, daemon.first_key, request.param), client, daemon

    return opened


async def test_a_message_is_a_run_and_its_answer_an_artifact(talking):
    async with talking([call("calculator", {"expression": "6*7"}), answer("42"), answer("again")]) as (
        agent,
        client,
        daemon,
    ):
        task = await agent.send("6*7?")
        assert (agent.state(task), text_of(task)) == ("completed", "42")
        assert task["history"][0]["parts"][0]["text"] == "6*7?"
        assert await agent.get(task["id"]) == task
        assert "history" not in await agent.get(task["id"], historyLength=0)
        headers = {"authorization": f"Bearer {daemon.first_key}"}
        run = (await client.get(f"/api/v1/runs/{task['id']}", headers=headers)).json()
        assert (run["session_id"], run["answer"]) == (task["contextId"], "42")
        more = await agent.send("again?", contextId=task["contextId"])
        assert more["contextId"] == task["contextId"]
        texts = [message.text for message in daemon.tenants.machine.model.requests[-1].messages]
        assert "6*7?" in texts


async def test_a_stream_begins_with_the_task_and_ends_with_its_end(talking):
    replies = [call("calculator", {"expression": "6*7"}), answer("one two three")]
    async with talking(replies) as (agent, _, _):
        params = {"message": agent.message("hello")}
        first, *rest = await agent.stream("SendStreamingMessage", "message/stream", params)
        assert agent.state(first["task"]) == "working"
        text = ""
        for update in rest[:-1]:
            chunk = update["artifactUpdate"]
            said = chunk["artifact"]["parts"][0]["text"]
            text = text + said if chunk["append"] else said
        assert text.strip() == "one two three"
        last = rest[-1]["statusUpdate"]
        assert agent.state(last) == "completed"
        assert last.get("final", True) is True
        assert text_of(await agent.get(first["task"]["id"])) == "one two three"
        over = await agent.ask("SubscribeToTask", "tasks/resubscribe", {"id": first["task"]["id"]})
        assert over["error"]["code"] == -32004


async def test_what_a_task_asks_is_answered_by_a_message_to_it(talking):
    async with talking([ASKS, answer("Blue it is.")], ask_person=True) as (agent, _, daemon):
        task = await agent.send("Paint it.")
        assert agent.state(task) == "input-required"
        assert task["status"]["message"]["parts"][0]["text"] == "Which colour?"
        read = daemon.keys.create(now=0.0, scopes=["runs:read", "runs:write"])[1]
        weaker = Agent(agent._client, read, agent._headers["a2a-version"])
        method = agent.name("SendMessage", "message/send")
        refused = await weaker.post(method, {"message": agent.message("Blue", taskId=task["id"])})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:agentd:scope-missing")
        done = await agent.send("Blue", taskId=task["id"], contextId=task["contextId"])
        assert (agent.state(done), text_of(done)) == ("completed", "Blue it is.")
        assert (await agent.send("And now?", taskId=task["id"]))["code"] == -32004
        assert (await agent.send("x", taskId=task["id"], contextId="elsewhere"))["code"] == -32001


async def test_at_once_then_listened_to_and_cancelled(talking):
    async with talking([answer("x")]) as (agent, _, daemon):
        begun = anyio.Event()

        async def never(request):
            begun.set()
            await anyio.sleep_forever()
            yield

        daemon.tenants.machine.model.stream = never
        task = await agent.send("hello", {"returnImmediately": True, "blocking": False})
        assert agent.state(task) == "working"
        heard = []

        async def listen():
            heard.extend(await agent.stream("SubscribeToTask", "tasks/resubscribe", {"id": task["id"]}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            with anyio.fail_after(10):
                await begun.wait()
                supervisor = await daemon.tenants.supervisor("default")
                while not supervisor.broadcast.watchers:
                    await anyio.sleep(0.01)
            cancelled = (await agent.ask("CancelTask", "tasks/cancel", {"id": task["id"]}))["result"]
        assert agent.state(cancelled) == "canceled"
        assert agent.state(heard[0]["task"]) == "working"
        assert agent.state(heard[-1]["statusUpdate"]) == "canceled"
        again = await agent.ask("CancelTask", "tasks/cancel", {"id": task["id"]})
        assert again["error"]["code"] == -32002


async def test_another_tenants_tasks_are_not_there(talking):
    async with talking([answer("x")]) as (agent, client, daemon):
        task = await agent.send("hello")
        theirs = Agent(client, daemon.keys.create(now=0.0, tenant="other")[1], agent._headers["a2a-version"])
        for v1, v03 in (
            ("GetTask", "tasks/get"),
            ("CancelTask", "tasks/cancel"),
            ("SubscribeToTask", "tasks/resubscribe"),
        ):
            there = await theirs.ask(v1, v03, {"id": task["id"]})
            nowhere = await theirs.ask(v1, v03, {"id": "run_none"})
            assert there["error"]["code"] == nowhere["error"]["code"] == -32001
            assert there["error"]["message"].replace(task["id"], "run_none") == nowhere["error"]["message"]
        assert (await theirs.send("x", taskId=task["id"]))["code"] == -32001
        listed = await Agent(client, daemon.keys.create(now=0.0, tenant="other")[1], "1.0").ask(
            "ListTasks", "", {}
        )
        assert listed["result"]["tasks"] == []


async def test_what_is_wrong_is_said_by_the_protocols_codes(talking):
    async with talking([answer("x")]) as (agent, client, daemon):
        key = {"authorization": f"Bearer {daemon.first_key}"}
        assert (await client.post("/a2a", content=b"{", headers=key)).json()["error"]["code"] == -32700
        assert (await client.post("/a2a", json=[], headers=key)).json()["error"]["code"] == -32600
        answered = {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert (await client.post("/a2a", json=answered, headers=key)).json()["error"]["code"] == -32600
        for method, params, code in (
            ("none/such", {}, -32601),
            (agent.name("GetTask", "tasks/get"), {}, -32602),
            (agent.name("SendMessage", "message/send"), {"message": agent.message(" ")}, -32602),
            (
                agent.name("SendMessage", "message/send"),
                {"message": agent.message("x") | {"parts": [{"video": "x"}]}},
                -32005,
            ),
            (
                agent.name("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"),
                {"id": "x", "taskId": "x"},
                -32001,
            ),
        ):
            error = (await agent.post(method, params)).json()["error"]
            assert error["code"] == code, error
        newer = await agent.post("GetTask", {"id": "x"}, **{"a2a-version": "2.0"})
        assert newer.json()["error"]["code"] == -32009
        assert (await agent.post("GetTask", {"id": "x"}, origin="http://evil.example")).status_code == 403


async def test_a_key_that_may_only_read_begins_and_ends_nothing(talking):
    async with talking([answer("x")]) as (agent, client, daemon):
        task = await agent.send("hello")
        reader = Agent(
            client,
            daemon.keys.create(now=0.0, scopes=["runs:read"])[1],
            agent._headers["a2a-version"],
        )
        assert agent.state(await reader.get(task["id"])) == "completed"
        for v1, v03, params in (
            ("SendMessage", "message/send", {"message": agent.message("x")}),
            ("SendStreamingMessage", "message/stream", {"message": agent.message("x")}),
            ("CancelTask", "tasks/cancel", {"id": task["id"]}),
        ):
            assert (await reader.post(agent.name(v1, v03), params)).status_code == 403


async def test_a_task_whose_model_is_away_or_refuses_says_so(talking):
    replies = [ModelUnavailableError("gone fishing"), ModelRefusedError("never")]
    async with talking(replies) as (agent, _, _):
        for state, why in (("working", "gone fishing"), ("failed", "never")):  # the first is tried again
            task = await agent.send("hello")
            assert agent.state(task) == state
            assert why in task["status"]["message"]["parts"][0]["text"]


async def test_tasks_are_listed_by_pages(open_serving):
    async with open_serving([answer("x")]) as (client, daemon):
        agent = Agent(client, daemon.first_key, "1.0")
        made = [(await agent.send(f"n{number}"))["id"] for number in range(5)]
        seen, token = [], ""
        while True:
            page = (await agent.ask("ListTasks", "", {"pageSize": 2, "pageToken": token}))["result"]
            assert page["totalSize"] == 5
            seen += [task["id"] for task in page["tasks"]]
            assert all("artifacts" not in task for task in page["tasks"])
            token = page["nextPageToken"]
            if not token:
                break
        assert seen == made[::-1]
        done = await agent.ask("ListTasks", "", {"status": "TASK_STATE_COMPLETED", "includeArtifacts": True})
        assert [text_of(task) for task in done["result"]["tasks"]] == ["x"] * 5
        assert (await agent.ask("ListTasks", "", {"status": "TASK_STATE_FAILED"}))["result"]["tasks"] == []
        assert (await agent.ask("ListTasks", "", {"status": "odd"}))["error"]["code"] == -32602


async def test_the_card_takes_a_key_unless_the_settings_open_it(open_serving):
    path = "/.well-known/agent-card.json"
    async with open_serving([answer("x")]) as (client, daemon):
        assert (await client.get(path)).status_code == 401
        key = daemon.keys.create(now=0.0, scopes=["runs:read"])[1]
        card = (await client.get(path, headers={"authorization": f"Bearer {key}"})).json()
        assert {one["protocolVersion"] for one in card["supportedInterfaces"]} == {"1.0", "0.3"}
        assert card["url"] == card["supportedInterfaces"][0]["url"] == "http://agentd/a2a"
        extended = await Agent(client, daemon.first_key, "1.0").ask("GetExtendedAgentCard", "", {})
        assert "calculator" in {skill["id"] for skill in extended["result"]["skills"]}
    async with open_serving([answer("x")], public_card=True, public_url="https://agent.example/") as (
        client,
        _,
    ):
        card = (await client.get(path)).json()
        assert card["url"] == "https://agent.example/a2a"
        assert [skill["id"] for skill in card["skills"]] == ["agent"]
        assert (await client.post("/a2a", json={})).status_code == 401
        document = await client.get("/schema/openapi.json")
        assert document.status_code == 401


def file_part(is_v1, **fields):
    """A part with a file, in the words of a revision."""
    if is_v1:
        names = {"bytes": "raw", "uri": "url", "mimeType": "mediaType", "name": "filename"}
        return {names[name]: value for name, value in fields.items()}
    return {"kind": "file", "file": fields}


async def test_files_come_with_a_message_and_are_shown_again(talking):
    pixel = base64.b64encode(b"\x89PNG fake").decode()
    async with talking([answer("a dot")]) as (agent, _, daemon):
        is_v1 = agent._is_v1
        parts = [
            file_part(is_v1, bytes=pixel, mimeType="image/png"),
            file_part(is_v1, uri="https://example.org/a.pdf", mimeType="application/pdf", name="a.pdf"),
        ]
        said = agent.message("What is this?")
        said["parts"] = [*said["parts"], *parts]
        reply = await agent.ask("SendMessage", "message/send", {"message": said})
        task = reply["result"]["task"] if is_v1 else reply["result"]
        assert text_of(task) == "a dot"
        (asked,) = (one for one in daemon.tenants.machine.model.requests[0].messages if one.role == "user")
        assert asked.parts == (
            Text(text="What is this?"),
            Image(data=b"\x89PNG fake", media_type="image/png"),
            File(url="https://example.org/a.pdf", media_type="application/pdf", name="a.pdf"),
        )
        assert task["history"][0]["parts"] == said["parts"]
        assert await agent.get(task["id"]) == task


async def test_files_of_an_answer_are_told_with_it(talking):
    picture = Image(data=b"dots", media_type="image/png")
    drawn = Message(role="assistant", parts=(Text(text="Here."), picture))
    async with talking([drawn, drawn]) as (agent, _, _):
        expected = file_part(agent._is_v1, bytes=base64.b64encode(b"dots").decode(), mimeType="image/png")
        task = await agent.send("Draw.")
        assert task["artifacts"][0]["parts"][1] == expected
        params = {"message": agent.message("Draw.")}
        first, *later = await agent.stream("SendStreamingMessage", "message/stream", params)
        # A run that is over before the stream begins is told of at once, with all that it made.
        told = later[-2]["artifactUpdate"]["artifact"] if later else first["task"]["artifacts"][0]
        assert told["parts"][1] == expected


async def test_files_that_cannot_be_read_are_refused(talking):
    async with talking([ASKS, answer("x")]) as (agent, _, _):
        for fields in ({"bytes": "%%%"}, {"uri": "file:///etc/passwd"}, {"mimeType": "image/png"}):
            said = agent.message("x") | {"parts": [file_part(agent._is_v1, **fields)]}
            reply = await agent.ask("SendMessage", "message/send", {"message": said})
            assert reply["error"]["code"] in {-32602, -32005}, reply
        task = await agent.send("ask")
        part = file_part(agent._is_v1, uri="https://example.org/a.pdf")
        said = agent.message("x", taskId=task["id"]) | {"parts": [part]}
        reply = await agent.ask("SendMessage", "message/send", {"message": said})
        assert reply["error"]["code"] == -32005
