"""The daemon from outside, in bad company: killed, left, cancelled, crowded, terminated. The full counts: `pytest -m slow`."""

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time

import httpx
import pytest

LONG_S = 240


def few_and_many(few, many):
    """A small number for every day, and the full one by its own command."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


class Stream:
    """What one client has seen of a run: its events by number, each once and in order."""

    def __init__(self, run_id):
        self.run_id = run_id
        self.events = []
        self.names = []

    @property
    def last(self):
        return self.events[-1]["seq"] if self.events else 0

    async def follow(self, client, *, until=None, ready=None):
        """Read behind what was seen, to the end of the stream, of the daemon, or to the event named `until`."""
        headers = {"Last-Event-ID": str(self.last)} if self.events else {}
        try:
            async with client.stream("GET", f"/api/v1/runs/{self.run_id}/events", headers=headers) as reply:
                assert reply.status_code == 200
                if ready is not None:
                    ready.set()
                await self._read(reply, until)
        except httpx.TransportError:  # the daemon was killed
            pass
        return self

    async def _read(self, reply, until):
        fields = {}
        async for line in reply.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            if "id" in fields:
                assert int(fields["id"]) == self.last + 1, "no gap, no repeat"
                self.events.append(json.loads(fields["data"]))
            if "event" in fields:
                self.names.append(fields["event"])
                if fields["event"] == until:
                    return
            fields = {}


@pytest.fixture
def tell():
    """Shown by `pytest -rP`: how fast it was here."""

    def told(text):
        sys.stdout.write(f"{text}\n")

    return told


async def begin(client, prompt):
    reply = await client.post("/api/v1/runs", json={"prompt": prompt})
    assert reply.status_code == 202, reply.text
    return reply.json()["run_id"]


async def rest(client, run_id, *, status="done"):
    """The run, once it has come to rest as expected."""
    async with asyncio.timeout(LONG_S):
        while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] != status:
            assert run["status"] in {"running", "interrupted"}, run
            await asyncio.sleep(0.2)
    return run


async def seen_of(scripted_model, prompt):
    """What the model's server says of one prompt, once that is over; the last request for it."""
    async with asyncio.timeout(LONG_S), httpx.AsyncClient(trust_env=False) as client:
        while True:
            records = [
                one for one in (await client.get(f"{scripted_model}/seen")).json() if prompt in one["prompt"]
            ]
            if records and records[-1]["ended"]:
                return records[-1]
            await asyncio.sleep(0.1)


@few_and_many(12, 200)
async def test_killed_in_the_middle_every_run_finishes_and_no_acknowledged_event_is_lost(agentd, count):
    room = {"AGENT_MAX_RUNS": str(count)}
    daemon = agentd(**room)
    slowly = 100 if count < 100 else 1_500  # all of them are to be under way at once
    streams = []
    async with daemon.client() as client, asyncio.TaskGroup() as tasks:
        for n in range(count):
            streams.append(Stream(await begin(client, f"run={n} calls=3 words=20 ms={slowly}")))
            tasks.create_task(streams[-1].follow(client))
        async with asyncio.timeout(LONG_S):
            while sum("text.delta" in stream.names for stream in streams) < count / 10:
                await asyncio.sleep(0.02)
        daemon.process.kill()
        daemon.process.wait()
    acknowledged = [list(stream.events) for stream in streams]
    assert sum(map(len, acknowledged)) > count
    assert sum("run.finished" not in stream.names for stream in streams) >= count / 2, "killed in the middle"
    async with agentd(**room).client() as client:
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(*(stream.follow(client) for stream in streams))
        for stream, before in zip(streams, acknowledged, strict=True):
            assert stream.names[-1] == "run.finished"
            assert stream.events[-1]["status"] == "done"
            assert stream.events[-1]["answer"].split() == [f"w{n}" for n in range(20)]
            again = await Stream(stream.run_id).follow(client)
            assert again.events == stream.events
            assert again.events[: len(before)] == before


async def sent(client, n, prompt):
    """The run that a request with an idempotency key began, by one of the routes that begin runs; None: no reply came."""
    kinds = {
        "/api/v1/runs": {"prompt": prompt},
        "/v1/chat/completions": {"model": "agent", "messages": [{"role": "user", "content": prompt}]},
        "/v1/responses": {"model": "agent", "input": prompt},
    }
    path, body = list(kinds.items())[n % 3]
    body = dict(body)
    if path.startswith("/v1/") and n % 2:
        body["stream"] = True
    if path == "/v1/responses" and n % 4 < 2:
        body["background"] = True
    try:
        reply = await client.post(path, json=body, headers={"Idempotency-Key": f"key-{n}"})
    except httpx.TransportError:  # the daemon was killed
        return None
    assert reply.status_code in {200, 202}, reply.text
    return reply.headers.get("x-run-id") or reply.json()["run_id"]


@few_and_many(24, 200)
async def test_a_request_with_an_idempotency_key_begins_one_run_however_often_the_daemon_is_killed(
    agentd, count, tell
):
    """Each time it is killed somewhere between the first write of a request and its last reply, then all is sent again."""
    room = {"AGENT_MAX_RUNS": str(2 * count)}
    prompts = [f"keyed={n} calls=1 words=5 ms=150" for n in range(count)]
    seen = {}
    cut_off = 0
    for kill_after_s in (0.15, 0.4, 0.9, None):
        daemon = agentd(**room)
        async with daemon.client() as client, asyncio.TaskGroup() as tasks:
            replies = [tasks.create_task(sent(client, n, prompt)) for n, prompt in enumerate(prompts)]
            if kill_after_s is not None:
                await asyncio.sleep(kill_after_s)
                daemon.process.kill()
                daemon.process.wait()
        for n, reply in enumerate(replies):
            cut_off += reply.result() is None
            if reply.result() is not None:
                assert seen.setdefault(n, reply.result()) == reply.result()
    tell(f"{cut_off} of {3 * count} requests were cut off")
    assert cut_off >= count / 4, "killed in the middle"
    async with daemon.client() as client:
        items, cursor = [], ""
        while cursor is not None:
            page = (await client.get("/api/v1/runs", params={"limit": 200, "cursor": cursor})).json()
            items, cursor = items + page["items"], page["next_cursor"]
        assert sorted(one["prompt"] for one in items) == sorted(prompts)
        assert {one["run_id"] for one in items} == set(seen.values())
        for run_id in seen.values():
            assert (await rest(client, run_id))["answer"].split() == [f"w{n}" for n in range(5)]


async def test_a_client_that_leaves_stops_nothing(agentd, scripted_model):
    async with agentd().client() as client:
        ids = [await begin(client, f"left={n} words=20 ms=30") for n in range(8)]
        await asyncio.gather(*(Stream(run_id).follow(client, until="text.delta") for run_id in ids))
        for run_id in ids:
            assert len((await rest(client, run_id))["answer"].split()) == 20
    for n in range(8):
        assert (await seen_of(scripted_model, f"left={n} "))["ended"] == "done"


@few_and_many(3, 20)
async def test_cancel_stops_the_model(agentd, scripted_model, count, tell):
    took_ms = []
    async with agentd().client() as client:
        for n in range(count):
            prompt = f"cancelled={n} of={count} words=2000 ms=20"
            run_id = await begin(client, prompt)
            await Stream(run_id).follow(client, until="text.delta")
            asked = time.monotonic()
            reply = await client.post(f"/api/v1/runs/{run_id}/cancel", json={"reason": "enough"})
            assert reply.json()["status"] == "cancelled"
            record = await seen_of(scripted_model, prompt)
            assert record["ended"] == "closed"
            assert record["words"] < 1000
            took_ms.append((record["at"] - asked) * 1000)
    tell(
        f"cancel to the end of the model's work: median {statistics.median(took_ms):.0f} ms, most {max(took_ms):.0f} ms"
    )
    if count >= 20:
        assert statistics.median(took_ms) <= 200


async def test_a_full_daemon_says_when_to_come_back(agentd):
    async with agentd(AGENT_MAX_RUNS="2").client() as client:
        ids = [await begin(client, f"full={n} words=10 ms=100") for n in range(2)]
        refused = await client.post("/api/v1/runs", json={"prompt": "one more"})
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) >= 1
        for run_id in ids:
            await rest(client, run_id)
        await rest(client, await begin(client, "one more"))


@few_and_many(2, 16)
async def test_sixteen_writers_never_lock_each_other_out(
    agentd, environment, workspace, scripted_model, count
):
    """16 clients of the daemon, and beside it `count` command lines that write to the same journal."""
    daemon = agentd(AGENT_MAX_RUNS="64")
    command = [sys.executable, "-c", "import agent_api.cli; agent_api.cli.main()", "run", "words=3"]
    command += ["--model", "openai:scripted", "--base-url", f"{scripted_model}/v1"]
    others = [
        await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=workspace, env=environment
        )
        for _ in range(count)
    ]

    async def write(client, writer):
        for n in range(3):
            run_id = await begin(client, f"writer={writer} n={n} calls=2 words=3")
            made = await client.post(
                "/api/v1/keys", json={"name": f"{writer}"}, headers={"Idempotency-Key": run_id}
            )
            assert made.status_code == 201, made.text
            await rest(client, run_id)

    async with daemon.client() as client:
        await asyncio.gather(*(write(client, writer) for writer in range(16)))
    for other in others:
        out, err = await other.communicate()
        assert (other.returncode, out.split()) == (0, [b"w0", b"w1", b"w2"]), err
    assert "lock" not in daemon.log.read_text()


@few_and_many(50, 500)
async def test_terminated_with_many_streams_it_is_gone_in_five_seconds(agentd, count, tell):
    daemon = agentd()
    async with daemon.client() as client, asyncio.TaskGroup() as tasks:
        ids = [await begin(client, f"streamed={n} words=100 ms=1000") for n in range(10)]
        streams = [Stream(ids[n % 10]) for n in range(count)]
        open_ = [asyncio.Event() for _ in streams]
        for stream, ready in zip(streams, open_, strict=True):
            tasks.create_task(stream.follow(client, ready=ready))
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(*(ready.wait() for ready in open_))
        asked = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(daemon.process.wait, 60)
        took_s = time.monotonic() - asked
    tell(f"{count} streams: gone after {took_s:.2f} s")
    assert code == 0
    assert [stream.names[-1] for stream in streams] == ["shutdown"] * count
    assert took_s < 5
    async with agentd().client() as client:
        late = await Stream(ids[0]).follow(client, until="text.delta")
        assert late.names[-1] == "text.delta", "the next start goes on with its runs"


@pytest.mark.parametrize("after_s", [0.6, 1.2, 1.8])
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_while_it_starts_it_does_without_a_word_too_much(
    agentd, start, scripted_model, after_s, asked
):
    daemon = agentd(AGENT_MAX_RUNS="30")
    async with daemon.client() as client:
        ids = [await begin(client, f"early={n} words=5 ms=200") for n in range(20)]
    daemon.process.kill()
    daemon.process.wait()
    early = start("serve", "--port", "0", "--model", "openai:scripted", "--base-url", f"{scripted_model}/v1")
    await asyncio.sleep(after_s)  # as it may be: it loads, opens its files, resumes its runs, or listens
    for _ in range(2):
        early.send_signal(asked)
    _, told = await asyncio.to_thread(early.communicate, timeout=60)
    assert early.returncode in {0, 128 + asked, -asked}
    assert "Traceback" not in told, told
    async with agentd().client() as client:
        for run_id in ids:
            assert len((await rest(client, run_id))["answer"].split()) == 5


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


KEPT = {
    "sessions": {"metadata": {f"{n}": "x" * 500 for n in range(16)}},
    "schedules": {"cron": "@yearly", "run": {"prompt": "x" * 8_000}},
    "webhooks": {"url": f"https://127.0.0.1/{'x' * 1_900}", "events": ["run.failed"]},
}
"""What is kept beside runs, by its route."""


async def test_a_full_disk_is_507_and_with_room_again_all_goes_on(agentd, small_disk):
    settings = {"AGENT_DATA_DIR": str(small_disk / "data"), "AGENT_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    async with agentd(**settings).client() as client:
        under_way = [await begin(client, f"disk={n} calls=4 words=5 ms=300") for n in range(3)]
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        refused = [await client.post("/api/v1/runs", json={"prompt": "words=200 ms=0"}) for _ in range(12)]
        assert refused[-1].status_code == 507, refused[-1].text
        assert {reply.status_code for reply in refused} <= {202, 507}
        named = await client.post("/api/v1/runs", json={"prompt": "x"}, headers={"Idempotency-Key": "full"})
        assert named.status_code == 507
        for path, body in KEPT.items():
            replies = [await client.post(f"/api/v1/{path}", json=body) for _ in range(20)]
            assert replies[-1].status_code == 507, replies[-1].text
            assert {reply.status_code for reply in replies} <= {201, 507}
            assert (await client.get(f"/api/v1/{path}")).status_code in {200, 507}
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/health")).status_code == 200
        filler.unlink()
        for path, body in KEPT.items():
            assert (await client.post(f"/api/v1/{path}", json=body)).status_code == 201
        await rest(client, await begin(client, "words=5"))
        for run_id in under_way:
            await client.post(f"/api/v1/runs/{run_id}/resume")
            assert (await rest(client, run_id))["answer"]
