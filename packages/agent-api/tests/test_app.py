"""The routes over a scripted model: what a client sends and what it gets."""

import json

import anyio
import httpx
import pytest

from agent_api.access.audit import AuditLog
from agent_api.access.console import ConsoleSessions
from agent_api.access.idempotency import Replies
from agent_api.access.keys import DEFAULT_TENANT, KeyLimits, KeyStore
from agent_api.access.metering import Meter
from agent_api.access.spending import SpendingBook
from agent_api.app import create_app
from agent_api.daemon import Daemon, access_folder
from agent_api.errors import SettingsError
from agent_api.metrics import Metrics
from agent_api.supervisor import Supervisor
from agent_core.errors import ModelUnavailableError
from agent_core.testing import answer, call


class OneTenant:
    """Tenants of which there is one, over an agent of fakes."""

    def __init__(self, supervisor):
        self._supervisor = supervisor

    async def supervisor(self, tenant):
        if tenant != DEFAULT_TENANT:
            raise SettingsError(tenant)
        return self._supervisor


class Serving:
    """A daemon and a client with its admin key, for as long as the block lasts."""

    def __init__(self, agent):
        self._agent = agent

    async def __aenter__(self):
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        folder = access_folder(self._agent.data_path)
        keys, book = KeyStore(folder), SpendingBook(folder)
        self.supervisor = Supervisor(self._agent, self._tasks, observers=(Meter(book),))
        audit = AuditLog(folder, secret=keys.secret_for("audit"))
        self._tasks.start_soon(audit.keep)
        self.daemon = Daemon(
            tenants=OneTenant(self.supervisor),
            keys=keys,
            book=book,
            audit=audit,
            replies=Replies(folder),
            console=ConsoleSessions(folder, keys),
            metrics=Metrics(),
        )
        headers = {"Authorization": f"Bearer {keys.create(now=0.0)[1]}"}
        transport = httpx.ASGITransport(create_app(self.daemon))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://agentd", headers=headers)
        return self._client, self.supervisor

    async def __aexit__(self, *_):
        self._tasks.cancel_scope.cancel()
        await self._client.aclose()
        await self._tasks.__aexit__(None, None, None)
        for one in (
            self.daemon.keys,
            self.daemon.book,
            self.daemon.audit,
            self.daemon.replies,
            self.daemon.console,
        ):
            one.close()


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
    async with Serving(make_agent([answer("hi")])) as (client, _):
        reply = await client.get("/health")
        assert reply.status_code == 200
        assert reply.json()["status"] == "ok"


async def test_a_run_is_started_shown_and_followed(make_agent):
    async with Serving(make_agent([call("add", {"a": 1, "b": 2}), answer("It is 3")])) as (client, _):
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
    async with Serving(agent) as (client, supervisor):
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        run = await finished(client, run_id)
        assert (run["status"], run["error"]) == ("interrupted", "the model is away")
        assert await supervisor.resume_unfinished() == 1
        assert (await finished(client, run_id))["answer"] == "here again"
        assert await supervisor.resume_unfinished() == 0


async def test_a_model_that_is_away_for_a_moment_costs_nobody_a_click(make_agent):
    serving = Serving(
        make_agent([ModelUnavailableError("away"), ModelUnavailableError("away"), answer("here")])
    )
    async with serving as (client, supervisor):
        supervisor._retry_after_s = (0.01, 0.01)
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        with anyio.fail_after(10):
            while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] != "done":
                await anyio.sleep(0.01)
        assert run["answer"] == "here"


async def test_one_that_stays_away_is_not_asked_for_ever(make_agent):
    agent = make_agent([ModelUnavailableError("away")])
    async with Serving(agent) as (client, supervisor):
        supervisor._retry_after_s = (0.01, 0.01)
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        with anyio.fail_after(10):
            while len(agent.model.requests) < 3:
                await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        assert len(agent.model.requests) == 3
        assert (await finished(client, run_id))["status"] == "interrupted"


async def test_all_unfinished_runs_are_resumed_as_places_become_free(make_agent):
    agent = make_agent([answer("done")], max_runs=2)
    run_ids = [await agent.runner.start("hello") for _ in range(7)]
    async with Serving(agent) as (client, supervisor):
        assert await supervisor.resume_unfinished() == 7
        with anyio.fail_after(10):
            for run_id in run_ids:
                while (await client.get(f"/api/v1/runs/{run_id}")).json()["status"] != "done":
                    await anyio.sleep(0.01)
        assert supervisor.capacity.taken == 0


async def test_a_call_that_waits_for_a_person_is_shown(make_agent):
    async with Serving(make_agent([call("wipe"), answer("done")])) as (client, supervisor):
        run_id = (await client.post("/api/v1/runs", json={"prompt": "wipe it"})).json()["run_id"]
        run = await finished(client, run_id)
        assert run["status"] == "waiting"
        assert [one["name"] for one in run["pending"]] == ["wipe"]
        assert await supervisor.resume_unfinished() == 0


async def test_more_runs_than_allowed_are_refused(make_agent):
    async with Serving(make_agent([answer("hi")], max_runs=0)) as (client, _):
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
    async with Serving(make_agent([answer("hi")])) as (client, _):
        reply = await client.request(method, path, json=body)
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert problem["status"] == status
        assert problem["detail"]
        assert "Traceback" not in reply.text


async def test_no_route_but_health_answers_without_a_valid_key(make_agent):
    serving = Serving(make_agent([answer("hi")]))
    async with serving as (client, _):
        keys, now = serving.daemon.keys, 1.0
        revoked, revoked_text = keys.create(now=now)
        keys.revoke(revoked.key_id, now=now, tenant=None)
        expired_text = keys.create(now=now, expires_at=2.0)[1]
        _, good = keys.create(now=now)
        for text in (
            "",
            "ag_",
            "nonsense",
            "ag_x_y",
            revoked_text,
            expired_text,
            good[:-1],
            good + "x",
            good.upper(),
        ):
            for path in ("/api/v1/runs/x", "/schema/openapi.json", "/nothing", "/"):
                reply = await client.get(path, headers={"Authorization": f"Bearer {text}"})
                assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
                assert reply.json()["type"] == "urn:agentd:key-refused"
        assert (await client.get("/health", headers={"Authorization": ""})).status_code == 200
        with_header = await client.get("/api/v1/runs/x", headers={"Authorization": "", "X-Api-Key": good})
        assert with_header.status_code == 404


async def test_a_key_without_the_scope_is_refused_and_learns_nothing(make_agent):
    serving = Serving(make_agent([answer("hi")]))
    async with serving as (client, _):
        there = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        _, text = serving.daemon.keys.create(now=0.0, scopes=["runs:write"])
        for run_id in (there, "run_none"):
            reply = await client.get(f"/api/v1/runs/{run_id}", headers={"Authorization": f"Bearer {text}"})
            assert (reply.status_code, "runs:read" in reply.json()["detail"]) == (403, True)


async def test_a_key_may_ask_as_often_as_its_limit_allows(make_agent):
    serving = Serving(make_agent([answer("hi")]))
    async with serving as (client, _):
        _, text = serving.daemon.keys.create(now=0.0, limits=KeyLimits(requests_per_minute=3))
        headers = {"Authorization": f"Bearer {text}"}
        replies = [await client.get("/api/v1/runs/x", headers=headers) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [404, 404, 404, 429, 429]
        assert 0 < int(replies[-1].headers["retry-after"]) <= 61
        assert (await client.get("/api/v1/runs/x")).status_code == 404  # another key has its own


async def test_a_key_that_spent_its_tokens_starts_nothing_more(make_agent):
    serving = Serving(make_agent([answer("two words")]))
    async with serving as (client, _):
        key, text = serving.daemon.keys.create(now=0.0, limits=KeyLimits(tokens_per_day=2))
        headers = {"Authorization": f"Bearer {text}"}
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=headers)).json()[
            "run_id"
        ]
        await finished(client, run_id)
        refused = await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:agentd:rate-limited")
        (day,) = serving.daemon.book.days(tenant=DEFAULT_TENANT)
        assert (day.key_id, day.input_tokens, day.output_tokens, day.turns) == (key.key_id, 2, 2, 1)


async def test_what_is_done_or_refused_is_in_the_audit_log_and_no_key_is(make_agent):
    serving = Serving(make_agent([answer("hi")]))
    async with serving as (client, _):
        _, text = serving.daemon.keys.create(now=0.0, scopes=["runs:read"])
        await client.post("/api/v1/runs", json={"prompt": "a secret prompt"})
        await client.post("/api/v1/runs", json={"prompt": "x"}, headers={"Authorization": f"Bearer {text}"})
        await client.get("/api/v1/runs/x", headers={"Authorization": "Bearer ag_no_key"})
        reply = await client.get("/api/v1/runs/x")
        with anyio.fail_after(10):
            while len(found := list(serving.daemon.audit.entries(tenant=None))) < 3:
                await anyio.sleep(0.05)
        assert [(number, one.action, one.status) for number, one in found] == [
            (1, "POST /api/v1/runs", 202),
            (2, "POST /api/v1/runs", 403),
            (3, "GET /api/v1/runs/x", 401),
        ]
        assert reply.headers["x-request-id"].startswith("request_")
        assert serving.daemon.audit.verify() is None
        folder = access_folder(serving.daemon.keys._path.parent.parent)
        everything = b"".join(path.read_bytes() for path in folder.iterdir())
        assert text.encode() not in everything
        assert text.rsplit("_", 1)[1].encode() not in everything
        assert b"a secret prompt" not in everything


async def test_an_error_below_v1_has_the_shape_that_openai_clients_read(make_agent):
    async with Serving(make_agent([answer("hi")])) as (client, _):
        refused = await client.get("/v1/nothing", headers={"Authorization": "Bearer no"})
        missing = await client.get("/v1/nothing")
        assert (refused.status_code, missing.status_code) == (401, 404)
        for reply in (refused, missing):
            assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_why_runs_are_interrupted_is_kept_of_the_last_ones_alone(make_agent, monkeypatch):
    monkeypatch.setattr("agent_api.supervisor.INTERRUPTED_AT_MOST", 3)
    agent = make_agent([ModelUnavailableError("away")])
    async with Serving(agent) as (client, supervisor):
        supervisor._retry_after_s = ()
        runs = [(await client.post("/api/v1/runs", json={"prompt": "x"})).json()["run_id"] for _ in range(5)]
        errors = [(await finished(client, run_id))["error"] for run_id in runs]
        assert errors[-1] == "away"
        with anyio.fail_after(10):
            while len(agent.model.requests) < 5 or supervisor.capacity.taken:
                await anyio.sleep(0.01)
        assert len(supervisor._interrupted) == 3
        for run_id in runs:
            reply = await client.post(f"/api/v1/runs/{run_id}/cancel", json={})
            assert reply.json()["status"] == "cancelled"
            assert "away" not in reply.json()["error"]
        assert supervisor._interrupted == {}


async def test_a_person_who_takes_up_an_interrupted_run_does_so_in_the_place_of_the_daemon(make_agent):
    agent = make_agent([ModelUnavailableError("away")])
    async with Serving(agent) as (client, supervisor):
        supervisor._retry_after_s = (0.2,)
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        await finished(client, run_id)
        for _ in range(3):
            await client.post(f"/api/v1/runs/{run_id}/resume")
            await finished(client, run_id)
        await anyio.sleep(0.6)
        assert len(agent.model.requests) == 5, "once at first, three times for a person, once by itself"
