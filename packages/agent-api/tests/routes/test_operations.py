"""Readiness and figures, for who operates the daemon."""

import asyncio

from agent_core.testing import answer


async def test_a_daemon_that_can_work_is_ready(open_serving):
    async with open_serving([answer("hi")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        reply = await client.get("/ready")
        assert (reply.status_code, reply.json()["status"]) == (200, "ready")
        daemon.tenants.model_trouble = "the weights are missing"
        reply = await client.get("/ready")
        assert (reply.status_code, reply.json()["model"]) == (503, "the weights are missing")


async def test_figures_count_and_name_nobody(open_serving):
    async with open_serving([answer("two words")]) as (client, daemon):
        refused = await client.get("/api/v1/runs")
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        run_id = (await client.post("/api/v1/runs", json={"prompt": "hello"})).json()["run_id"]
        while (await client.get(f"/api/v1/runs/{run_id}")).json()["status"] == "running":
            await asyncio.sleep(0.01)
        while "agentd_runs_driven 0.0" not in (text := (await client.get("/metrics")).text):
            await asyncio.sleep(0.01)  # what is in the journal is counted a moment later
        assert refused.status_code == 401
        assert 'agentd_refused_total{status="401"} 1.0' in text
        assert 'agentd_runs_ended_total{phase="done"} 1.0' in text
        assert 'gen_ai_client_tokens_total{type="output"} 2.0' in text
        assert 'route="/api/v1/runs/{run_id}"' in text or 'route="/api/v1/runs/{run_id:str}"' in text
        assert run_id not in text
        assert daemon.first_key.split("_")[1] not in text


async def test_figures_tell_what_the_process_holds(open_serving):
    async with open_serving([answer("hi")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"

        async def tasks():
            text = (await client.get("/metrics")).text
            assert float(text.partition("\nprocess_resident_memory_bytes ")[2].split()[0]) > 1e6
            assert float(text.partition("\nprocess_open_fds ")[2].split()[0]) > 3
            assert float(text.partition("\nagentd_threads ")[2].split()[0]) >= 1
            return float(text.partition("\nagentd_tasks ")[2].split()[0])

        before = await tasks()
        waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(5)]
        assert await tasks() == before + 5
        for one in waiting:
            one.cancel()
