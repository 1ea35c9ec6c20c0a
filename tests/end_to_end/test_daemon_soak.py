"""Half an hour of everything at once: what the daemon holds stays the same. `pytest -m slow -s tests/end_to_end/test_daemon_soak.py`
prints one JSON object a figure.

AGENT_SOAK_S sets another length in seconds, AGENT_SOAK_PAUSE_S how long each of the clients rests between two actions.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from itertools import combinations

import pytest

CLIENTS = 8
SAMPLES = 60
KEYS_SHARE = 0.02
"""Keys are kept for ever, in memory too, revoked ones as well: few are made."""
WARM_UP = 0.5
"""The first half of the time is for caches to fill and for the allocator to find its size."""
MAY_GROW = {"memory": 2.0, "descriptors": 0.5, "threads": 0.5, "tasks": 0.5}
"""What the slope of the second half may come to over that half, beyond which a figure is not flat."""
UNITS = {"memory": "MB"}


class Load:
    """Clients that do what clients do, until told to stop."""

    def __init__(self, client, seed):
        self.client = client
        self.random = random.Random(seed)
        self.until = float("inf")
        self.pause_s = float(os.environ.get("AGENT_SOAK_PAUSE_S", "0"))
        self.actions = (
            self.run,
            self.talk,
            self.leave,
            self.cancel,
            self.look,
            self.keys,
            self.again,
            self.speak,
            self.respond,
            self.plan,
            self.err,
        )
        self.done = dict.fromkeys((action.__name__ for action in self.actions), 0)

    async def go_on(self):
        while time.monotonic() < self.until:
            action = self.random.choice(self.actions)
            if action == self.keys and self.random.random() > KEYS_SHARE:
                continue
            await action()
            self.done[action.__name__] += 1
            await asyncio.sleep(self.pause_s)

    async def begin(self, prompt, session_id="", **headers):
        body = {"prompt": prompt, "session_id": session_id}
        while True:
            reply = await self.client.post("/api/v1/runs", json=body, headers=headers)
            if reply.status_code != 503:
                assert reply.status_code == 202, reply.text
                return reply.json()["run_id"]
            await asyncio.sleep(float(reply.headers["retry-after"]))

    async def run(self, session_id=""):
        """A run with tools, followed to its end."""
        run_id = await self.begin("calls=2 words=20 ms=5", session_id)
        async with self.client.stream("GET", f"/api/v1/runs/{run_id}/events") as reply:
            text = (await reply.aread()).decode()
        assert "event: run.finished" in text

    async def talk(self):
        """A session with two runs, looked at and erased."""
        made = (await self.client.post("/api/v1/sessions", json={"name": "talk"})).json()
        for _ in range(2):
            await self.run(made["session_id"])
        path = f"/api/v1/sessions/{made['session_id']}"
        assert (await self.client.get(path)).status_code == 200
        assert (await self.client.delete(path)).status_code in {200, 409}  # the last run may not be over

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
        for path in ("runs", "sessions", "skills", "models", "usage", "audit", "webhooks", "runs/run_none"):
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
        for streams in (False, True):
            messages = [{"role": "user", "content": "words=5"}]
            body = {"model": "openai:scripted", "messages": messages, "stream": streams}
            reply = await self.client.post("/v1/chat/completions", json=body)
            assert reply.status_code in {200, 503}, reply.text

    async def respond(self):
        for streams in (False, True):
            body = {"model": "agent", "input": "words=5", "stream": streams}
            reply = await self.client.post("/v1/responses", json=body)
            assert reply.status_code in {200, 503}, reply.text

    async def plan(self):
        """A schedule that comes and goes before it fires."""
        body = {"cron": "0 0 1 1 *", "run": {"prompt": "words=2"}}
        made = await self.client.post("/api/v1/schedules", json=body)
        assert made.status_code == 201, made.text
        path = f"/api/v1/schedules/{made.json()['schedule_id']}"
        assert (await self.client.delete(path)).status_code < 300

    async def err(self):
        """What is wrong: a body, a path, a key."""
        post, get = self.client.post, self.client.get
        assert (await post("/api/v1/runs", json={"prmpt": "x"})).status_code == 400
        assert (await get(f"/nothing/{self.random.getrandbits(60)}")).status_code == 404
        wrong = {"Authorization": f"Bearer ag_{self.random.getrandbits(48):012x}_wrong"}
        assert (await get("/api/v1/runs", headers=wrong)).status_code == 401


def figure(text, name):
    """One figure of /metrics."""
    return float(text.partition(f"\n{name} ")[2].split()[0])


async def resting(client):
    """The figures, once nothing is under way: nobody drives a run and nobody follows one."""
    async with asyncio.timeout(60):
        while True:
            text = (await client.get("/metrics")).text
            if not (figure(text, "agentd_runs_driven") or figure(text, "agentd_streams_open")):
                return text
            await asyncio.sleep(0.5)


async def held(client):
    """Megabytes of memory, open descriptors, threads and tasks of the daemon at rest, where connections are closed."""
    text = await resting(client)
    return {
        "memory": figure(text, "process_resident_memory_bytes") / 1e6,
        "descriptors": figure(text, "process_open_fds"),
        "threads": figure(text, "agentd_threads"),
        "tasks": figure(text, "agentd_tasks"),
    }


def slope(values):
    """How much is added a sample: the median over all pairs (Theil and Sen), which single peaks do not move."""
    pairs = combinations(enumerate(values), 2)
    return statistics.median((late - early) / (n - m) for (m, early), (n, late) in pairs)


def test_a_slope_is_that_of_most_pairs():
    assert slope([5, 5, 5, 5]) == 0
    assert slope([1, 3, 5, 7]) == 2
    assert slope([1, 1, 90, 1, 1, 1]) == 0


def outcome(name, values):
    """A figure at the end, what it adds over the half that counts, and whether that is flat."""
    late = values[int(len(values) * WARM_UP) :]
    grew = slope(late) * (len(late) - 1)
    return {
        "name": f"soak.{name}",
        "value": round(values[-1], 1),
        "unit": UNITS.get(name, "count"),
        "first": round(values[0], 1),
        "at_half": round(late[0], 1),
        "most": round(max(values), 1),
        "grew_in_second_half": round(grew, 2),
        "may_grow": MAY_GROW[name],
        "flat": grew <= MAY_GROW[name],
    }


@pytest.mark.slow
async def test_what_the_daemon_holds_stays_the_same(agentd):
    length_s = float(os.environ.get("AGENT_SOAK_S", "1800"))
    daemon = agentd(AGENT_MAX_RUNS="64")
    samples, done = [], dict.fromkeys(Load(None, 0).done, 0)
    for sample in range(SAMPLES):
        async with daemon.client() as client:
            loads = [Load(client, sample * CLIENTS + n) for n in range(CLIENTS)]
            for load in loads:
                load.until = time.monotonic() + length_s / SAMPLES
            await asyncio.gather(*(load.go_on() for load in loads))
        async with daemon.client() as client:
            samples.append(await held(client))
        done = {name: count + sum(load.done[name] for load in loads) for name, count in done.items()}
        sys.stdout.write(json.dumps({"sample": sample, **samples[-1], "done": done}) + "\n")
        sys.stdout.flush()
    outcomes = [outcome(name, [sample[name] for sample in samples]) for name in samples[0]]
    for one in outcomes:
        sys.stdout.write(json.dumps({**one, "seconds": length_s}) + "\n")
    assert [one["name"] for one in outcomes if not one["flat"]] == []
