"""The routes over a scripted model: what a client sends and what it gets."""

import json

import anyio
import pytest
from litestar.testing import AsyncTestClient

from agent_api.app import create_app
from agent_api.supervisor import Supervisor
from agent_core.errors import ModelUnavailableError
from agent_core.testing import answer, call


class Daemon:
    """A supervisor and a client, for as long as the block lasts."""

    def __init__(self, agent):
        self._agent = agent

    async def __aenter__(self):
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self.supervisor = Supervisor(self._agent, self._tasks)
        self._client = AsyncTestClient(create_app(self.supervisor))
        return await self._client.__aenter__(), self.supervisor

    async def __aexit__(self, *_):
        self._tasks.cancel_scope.cancel()
        await self._client.__aexit__(None, None, None)
        await self._tasks.__aexit__(None, None, None)


def frames(text: str) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
        for frame in text.split("\n\n")
        if frame and not frame.startswith(":")
    ]


async def finished(client, run_id):
    with anyio.fail_after(10):
        while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] == "running":
            await anyio.sleep(0.01)
    return run


async def test_health_needs_nothing(make_agent):
    async with Daemon(make_agent([answer("hi")])) as (client, _):
        reply = await client.get("/health")
        assert reply.status_code == 200
        assert reply.json()["status"] == "ok"


async def test_a_run_is_started_shown_and_followed(make_agent):
    async with Daemon(make_agent([call("add", {"a": 1, "b": 2}), answer("It is 3")])) as (client, _):
        started = await client.post("/api/v1/runs", json={"prompt": "1+2?"})
        assert started.status_code == 202
        run_id = started.json()["run_id"]
        run = await finished(client, run_id)
        assert (run["status"], run["answer"], run["tool_calls"], run["prompt"]) == (
            "done",
            "It is 3",
            1,
            "1+2?",
        )

        events = frames((await client.get(f"/api/v1/runs/{run_id}/events")).text)
        assert [int(one["id"]) for one in events] == list(range(1, len(events) + 1))
        assert events[-1]["event"] == "run.finished"
        last = json.loads(events[-1]["data"])
        assert (last["status"], last["answer"], last["run_id"]) == ("done", "It is 3", run_id)

        rest = await client.get(f"/api/v1/runs/{run_id}/events", headers={"Last-Event-ID": "5"})
        assert [one["id"] for one in frames(rest.text)] == [one["id"] for one in events[5:]]
        assert [
            one["id"] for one in frames((await client.get(f"/api/v1/runs/{run_id}/events?after=7")).text)
        ] == ["8"]


async def test_a_model_that_is_away_interrupts_the_run_and_the_next_start_resumes_it(make_agent):
    agent = make_agent([ModelUnavailableError("the model is away"), answer("here again")])
    async with Daemon(agent) as (client, supervisor):
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        run = await finished(client, run_id)
        assert (run["status"], run["error"]) == ("interrupted", "the model is away")
        assert await supervisor.resume_unfinished() == 1
        assert (await finished(client, run_id))["answer"] == "here again"
        assert await supervisor.resume_unfinished() == 0


async def test_a_call_that_waits_for_a_person_is_shown(make_agent):
    async with Daemon(make_agent([call("wipe"), answer("done")])) as (client, supervisor):
        run_id = (await client.post("/api/v1/runs", json={"prompt": "wipe it"})).json()["run_id"]
        run = await finished(client, run_id)
        assert run["status"] == "waiting"
        assert [one["name"] for one in run["pending"]] == ["wipe"]
        assert await supervisor.resume_unfinished() == 0


async def test_more_runs_than_allowed_are_refused(make_agent):
    async with Daemon(make_agent([answer("hi")], max_runs=0)) as (client, _):
        reply = await client.post("/api/v1/runs", json={"prompt": "hello"})
        assert reply.status_code == 503
        assert reply.headers["Retry-After"] == "1"
        assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/runs/run_none", None, 404),
        ("GET", "/api/v1/runs/run_none/events", None, 404),
        ("POST", "/api/v1/runs", {}, 400),
        ("POST", "/api/v1/runs", {"prompt": 1}, 400),
        ("POST", "/api/v1/runs", {"prompt": "x", "colour": "red"}, 400),
        ("POST", "/api/v1/runs", {"prompt": "   "}, 400),
        ("POST", "/api/v1/runs", {"prompt": "x" * (3 << 20)}, 413),
        ("PUT", "/api/v1/runs", {}, 405),
        ("GET", "/nothing", None, 404),
    ],
)
async def test_a_wrong_request_is_a_problem(make_agent, method, path, body, status):
    async with Daemon(make_agent([answer("hi")])) as (client, _):
        reply = await client.request(method, path, json=body)
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert problem["status"] == status
        assert problem["detail"]
        assert "Traceback" not in reply.text
