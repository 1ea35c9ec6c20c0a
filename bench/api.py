"""What the daemon costs: durable runs and their latency beside Agno's AgentOS, the gate beside bare Litestar, streams of
events beside a raw `Stream`, memory. `--json`: one object a line.

Every server runs in a process of its own and answers from a script at once; all take turns in every round, and the best of
each counts. A run of ours is two requests, as clients make them: begin it, follow its events to the end. A run of Agno's
is the one request that its documentation shows; both keep the session in SQLite.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from figures import Figure, print_figures
from load import Connection, CountedStream, cpu_s, request, resident_mb
from peers.api_server import DELTAS, STREAMED
from peers.environments import Environments, NotMeasuredError, Peer, served

AGNO = Peer("agent_os", "agno[os,sqlite]==3.1.10,uvloop==0.22.1,httptools==0.7.1")
LITELLM = Peer("litellm_proxy", "litellm[proxy]==1.106.2,uvloop==0.22.1,httptools==0.7.1")
UPSTREAM = str(Path(__file__).parent / "peers" / "upstream.py")
SERVER = str(Path(__file__).parent / "peers" / "api_server.py")
ROUNDS = 3
CLIENTS, RUNS_EACH, ALONE = 8, 25, 60
PINGS = 3_000
STREAMS = 500
CHATS = 200

Server = Mapping[str, Any]
Do = Callable[[Connection], Awaitable[None]]


async def our_run(connection: Connection) -> None:
    begun = json.loads(await connection.ask("POST", "/api/v1/runs", b'{"prompt": "How is the weather?"}'))
    told = await connection.ask("GET", f"/api/v1/runs/{begun['run_id']}/events")
    assert b"event: run.finished" in told


async def their_run(connection: Connection) -> None:
    body = b"message=How+is+the+weather%3F&stream=false"
    content_type = "application/x-www-form-urlencoded"
    told = await connection.ask("POST", "/agents/scripted/runs", body, content_type)
    assert json.loads(told)["status"] == "COMPLETED"


async def runs(server: Server, run: Do) -> dict[str, float]:
    """Runs a second and CPU milliseconds a run with several clients, and the median of one client."""

    async def many(connection: Connection) -> None:
        async with connection:
            for _ in range(RUNS_EACH):
                await run(connection)

    used, began = cpu_s(server["pid"]), time.perf_counter()
    await asyncio.gather(*(many(connect(server)) for _ in range(CLIENTS)))
    took, used = time.perf_counter() - began, cpu_s(server["pid"]) - used
    alone = []
    async with connect(server) as connection:
        for _ in range(ALONE):
            began = time.perf_counter()
            await run(connection)
            alone.append((time.perf_counter() - began) * 1e3)
    count = CLIENTS * RUNS_EACH
    return {"runs_s": count / took, "run_ms": used / count * 1e3, "alone_ms": statistics.median(alone)}


def connect(server: Server) -> Connection:
    return Connection(server["address"], server["key"])


async def pings(server: Server) -> dict[str, float]:
    """CPU microseconds of a POST that does nothing."""
    async with connect(server) as connection:
        used = cpu_s(server["pid"])
        for _ in range(PINGS):
            await connection.ask("POST", "/bench/ping")
        return {"ping_us": (cpu_s(server["pid"]) - used) / PINGS * 1e6}


async def chats(server: Server, model: str) -> dict[str, float]:
    """Milliseconds of a chat with one client: the median."""
    messages = [{"role": "user", "content": "What is the weather like in Lisbon today?"}]
    body = json.dumps({"model": model, "messages": messages}).encode()
    took = []
    async with connect(server) as connection:
        for _ in range(CHATS):
            began = time.perf_counter()
            told = await connection.ask("POST", "/v1/chat/completions", body)
            took.append((time.perf_counter() - began) * 1e3)
            assert b"It is sunny" in told
    return {"chat_ms": statistics.median(took)}


async def streams(server: Server) -> dict[str, float]:
    """CPU microseconds of a delta on its way to one of many clients, and how many clients missed any."""
    paths = ["/stream"] * STREAMS
    if server["key"]:
        body = json.dumps({"prompt": STREAMED}).encode()
        async with connect(server) as connection:
            begun = [json.loads(await connection.ask("POST", "/api/v1/runs", body)) for _ in range(STREAMS)]
        paths = [f"/api/v1/runs/{one['run_id']}/events" for one in begun]
    host, _, port = server["address"].rpartition(":")
    loop = asyncio.get_running_loop()
    opened = []
    for path in paths:
        seen = CountedStream(DELTAS)
        transport, _ = await loop.create_connection(lambda seen=seen: seen, host, int(port))
        transport.write(request(server["address"], "GET", path, key=server["key"]))
        opened.append((transport, seen))
    async with asyncio.timeout(120):  # deltas from before a stream was open are not sent again
        await asyncio.gather(*(seen.has_begun.wait() for _, seen in opened))
    await asyncio.sleep(1)
    before = sum(seen.count for _, seen in opened)
    used = cpu_s(server["pid"])
    os.kill(server["pid"], signal.SIGUSR1)
    try:
        async with asyncio.timeout(120):
            await asyncio.gather(*(seen.has_all.wait() for _, seen in opened))
    except TimeoutError:
        pass
    used = cpu_s(server["pid"]) - used
    failed = sum(not seen.has_all.is_set() for _, seen in opened)
    count = sum(seen.count for _, seen in opened) - before
    for transport, _ in opened:
        transport.close()
    return {"chunk_us": used / count * 1e6, "failed": failed}


class Rounds:
    """What was measured: by figure and server, the best value."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, name: str, found: Mapping[str, float]) -> None:
        for figure, value in found.items():
            better = max if figure in {"runs_s", "failed"} else min
            self.values[figure][name] = better(value, self.values[figure].get(name, value))


def figures(values: Mapping[str, Mapping[str, float]], missing: Mapping[str, str]) -> list[Figure]:
    def peer(figure: str) -> dict[str, object]:
        found = values[figure]
        return {"Agno AgentOS": round(found["agno"], 2) if "agno" in found else missing["agno"]}

    ratio = values["runs_s"]["ours"] / values["runs_s"].get("agno", float("nan"))
    gate = values["ping_us"]["ours"] - values["ping_us"]["bare"]
    chat = values["chat_ms"]
    added, litellm = chat["ours"] - chat["upstream"], chat.get("litellm", float("nan")) - chat["upstream"]
    beside = {"LiteLLM's proxy": missing.get("litellm", round(litellm, 2))}
    raw = {"raw Litestar Stream": round(values["chunk_us"]["bare"], 1)}
    return [
        Figure("api.durable_runs", values["runs_s"]["ours"], "runs/s", "", peer("runs_s")),
        Figure("api.durable_runs_to_agno", ratio, "ratio", ">= 3"),
        Figure("api.run_cpu", values["run_ms"]["ours"], "ms", "<= 5", peer("run_ms")),
        Figure("api.run_p50_one_client", values["alone_ms"]["ours"], "ms", "<= 15", peer("alone_ms")),
        Figure(
            "api.gate_cpu", gate, "us", "<= 100", {"bare Litestar's route": round(values["ping_us"]["bare"])}
        ),
        Figure("api.chunk_cpu", values["chunk_us"]["ours"], "us", "<= 30", raw),
        Figure(f"api.failed_of_{STREAMS}_streams", values["failed"]["ours"], "streams", "0"),
        Figure("api.pass_through_added_p50", added, "ms", "< 1", beside),
        Figure("api.litellm_to_pass_through", litellm / added, "ratio", ">= 5"),
        Figure("api.resident_after_load", values["resident_mb"]["ours"], "MB", "<= 120", peer("resident_mb")),
    ]


def main() -> None:
    rounds, missing = Rounds(), dict[str, str]()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        peers = stack.enter_context(Environments())

        def serving(*command: str) -> Server:
            return stack.enter_context(served([sys.executable, "-P", *command], os.environ, folder))

        def beside(name: str, peer: Peer, *arguments: str) -> dict[str, Server]:
            try:
                return {name: stack.enter_context(peers.serving(peer, *arguments))}
            except NotMeasuredError as error:
                missing[name] = f"not measured: {error}"
                return {}

        ours, bare, upstream = serving(SERVER, "daemon"), serving(SERVER, "bare"), serving(UPSTREAM)
        run = {"ours": (ours, our_run)}
        run |= {name: (one, their_run) for name, one in beside("agno", AGNO).items()}
        provider = f"http://{upstream['address']}/v1"
        chat = {"upstream": (upstream, "m"), "ours": (serving(SERVER, provider), "openai:m")}
        chat |= {name: (one, "m") for name, one in beside("litellm", LITELLM, provider).items()}
        for _ in range(ROUNDS):
            for name, (server, do) in run.items():
                rounds.add(name, asyncio.run(runs(server, do)))
            for name, server in (("bare", bare), ("ours", ours)):
                rounds.add(name, asyncio.run(pings(server)))
            for name, (server, model) in chat.items():
                rounds.add(name, asyncio.run(chats(server, model)))
        for name, (server, _) in run.items():
            rounds.add(name, {"resident_mb": resident_mb(server["pid"])})
        for name, server in (("bare", bare), ("ours", ours)):
            rounds.add(name, asyncio.run(streams(server)))
    print_figures(figures(rounds.values, missing))


if __name__ == "__main__":
    main()
