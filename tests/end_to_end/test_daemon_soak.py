"""Half an hour of everything at once: what the daemon holds stays the same. `pytest -m slow tests/end_to_end/test_daemon_soak.py`.

AGENT_SOAK_S sets another length in seconds.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

import pytest

CLIENTS = 8
SAMPLES = 30
KEYS_SHARE = 0.02
"""Keys are kept for ever, in memory too, revoked ones as well: few are made."""
WARM_UP = 0.2
"""The first fifth of the time is for caches to fill."""
MAX_GROWTH_MB = 15


class Load:
    """Clients that do what clients do, until told to stop."""

    def __init__(self, client, seed):
        self.client = client
        self.random = random.Random(seed)
        self.until = float("inf")
        self.done = dict.fromkeys(("run", "leave", "cancel", "look", "keys", "again", "speak"), 0)
        self.actions = (self.run, self.leave, self.cancel, self.look, self.keys, self.again, self.speak)

    async def go_on(self):
        while time.monotonic() < self.until:
            action = self.random.choice(self.actions)
            if action == self.keys and self.random.random() > KEYS_SHARE:
                continue
            await action()
            self.done[action.__name__] += 1

    async def begin(self, prompt, **headers):
        while True:
            reply = await self.client.post("/api/v1/runs", json={"prompt": prompt}, headers=headers)
            if reply.status_code != 503:
                assert reply.status_code == 202, reply.text
                return reply.json()["run_id"]
            await asyncio.sleep(float(reply.headers["retry-after"]))

    async def run(self):
        """A run with tools, followed to its end."""
        run_id = await self.begin("calls=2 words=20 ms=5")
        async with self.client.stream("GET", f"/api/v1/runs/{run_id}/events") as reply:
            text = (await reply.aread()).decode()
        assert "event: run.finished" in text

    async def leave(self):
        """A run whose client goes after the first words."""
        run_id = await self.begin("words=30 ms=5")
        async with self.client.stream("GET", f"/api/v1/runs/{run_id}/events") as reply:
            async for _ in reply.aiter_lines():
                break

    async def cancel(self):
        run_id = await self.begin("words=500 ms=20")
        await asyncio.sleep(self.random.random() / 5)
        reply = await self.client.post(f"/api/v1/runs/{run_id}/cancel", json={})
        assert reply.json()["status"] == "cancelled"

    async def look(self):
        for path in ("runs", "skills", "models", "usage", "audit", "runs/run_none"):
            status = (await self.client.get(f"/api/v1/{path}")).status_code
            assert status == (404 if path.endswith("none") else 200)
        assert (await self.client.get("/metrics")).status_code == 200
        assert (await self.client.get("/ready")).status_code in {200, 503}

    async def keys(self):
        made = (await self.client.post("/api/v1/keys", json={"scopes": ["runs:read"]})).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        assert (await self.client.get("/api/v1/runs", headers=own)).status_code == 200
        await self.client.delete(f"/api/v1/keys/{made['about']['key_id']}")
        assert (await self.client.get("/api/v1/runs", headers=own)).status_code == 401

    async def again(self):
        name = {"Idempotency-Key": f"{self.random.getrandbits(60)}"}
        assert await self.begin("words=2", **name) == await self.begin("words=2", **name)

    async def speak(self):
        body = {"model": "openai:scripted", "messages": [{"role": "user", "content": "words=5"}]}
        reply = await self.client.post("/v1/chat/completions", json=body)
        assert reply.status_code in {200, 503}, reply.text


def held(pid):
    """Megabytes of memory, open descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory, threads = (int(status.partition(name)[2].split()[0]) for name in ("VmRSS:", "Threads:"))
    return memory / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())), threads


def figure(text, name):
    """One figure of /metrics."""
    return float(text.partition(f"\n{name} ")[2].split()[0])


async def resting(client):
    """Once nothing is under way: nobody drives a run and nobody follows one."""
    async with asyncio.timeout(60):
        while True:
            text = (await client.get("/metrics")).text
            if not (figure(text, "agentd_runs_driven") or figure(text, "agentd_streams_open")):
                return
            await asyncio.sleep(0.5)


@pytest.mark.slow
async def test_what_the_daemon_holds_stays_the_same(agentd):
    length_s = float(os.environ.get("AGENT_SOAK_S", "1800"))
    daemon = agentd(AGENT_MAX_RUNS="64")
    pid, samples, loads = daemon.process.pid, [], []
    async with daemon.client() as client:
        for sample in range(SAMPLES):
            loads = [Load(client, sample * CLIENTS + n) for n in range(CLIENTS)]
            for load in loads:
                load.until = time.monotonic() + length_s / SAMPLES
            await asyncio.gather(*(load.go_on() for load in loads))
            await resting(client)
            samples.append(held(pid))
            done = {name: sum(load.done[name] for load in loads) for name in loads[0].done}
            sys.stdout.write(f"{sample}: {samples[-1][0]:.1f} MB, {samples[-1][1:]}, {done}\n")
    warm = samples[int(SAMPLES * WARM_UP) :]
    half = len(warm) // 2
    early, late = (
        [sorted(column)[len(column) // 2] for column in zip(*part, strict=True)]
        for part in (warm[:half], warm[half:])
    )
    assert late[0] - early[0] <= MAX_GROWTH_MB, "memory is flat"
    assert late[1] - early[1] <= 5, "descriptors are flat"
    assert late[2] - early[2] <= 2, "threads are flat"
