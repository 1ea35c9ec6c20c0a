"""Measures MCP in agent-skills: a call over standard input and output, the start of a server, the import.

uv run python bench/mcp.py [--json]

The peer is the `mcp` SDK (the extra `agent-skills[mcp]`): its client with its server, in processes as ours.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import anyio
from figures import Figure, print_figures

from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.stdio import StdioChannel, unconfined

TESTS = Path(__file__).parent.parent / "packages" / "agent-skills" / "tests" / "mcp"
CALLS = 300
ROUNDS = 3
PEER = """
import statistics, sys, time
import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

async def main():
    async with Client(StdioServerParameters(command=sys.executable, args=[sys.argv[1]])) as client:
        times = []
        cpu = time.process_time()
        for _ in range(int(sys.argv[2])):
            began = time.perf_counter()
            await client.call_tool("add", {"a": 1})
            times.append(time.perf_counter() - began)
        print(statistics.median(times) * 1_000, (time.process_time() - cpu) * 1_000 / len(times))

anyio.run(main)
"""


async def ours():
    """Milliseconds: to connect and list, of one call (p50), and of our processor for one call."""
    began = time.perf_counter()
    connection = McpConnection(
        "echo", StdioChannel("echo", unconfined("echo", [sys.executable, str(TESTS / "echo_server.py")]))
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(connection.run)
        await connection.list_all("tools/list", "tools")
        start_ms = (time.perf_counter() - began) * 1_000
        times = []
        cpu = time.process_time()
        for _ in range(CALLS):
            called = time.perf_counter()
            await connection.call("tools/call", {"name": "echo", "arguments": {"text": "x"}})
            times.append(time.perf_counter() - called)
        cpu_ms = (time.process_time() - cpu) * 1_000 / CALLS
        tasks.cancel_scope.cancel()
    return start_ms, statistics.median(times) * 1_000, cpu_ms


def sdk():
    """Milliseconds of one call between the SDK's client and its server (p50), and of the client's processor."""
    command = [sys.executable, "-c", PEER, str(TESTS / "sdk_server.py"), str(CALLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "not installed", "not installed"
    return tuple(round(float(one), 3) for one in done.stdout.split())


def import_ms(module):
    """CPU milliseconds to import a module, the interpreter's own start taken off."""

    def cpu_ms(code):
        script = f"{code}\nimport time; print(time.process_time() * 1_000)"
        times = [
            float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
            for _ in range(5)
        ]
        return min(times)

    try:
        return cpu_ms(f"import {module}") - cpu_ms("pass")
    except subprocess.CalledProcessError:
        return float("nan")


def main():
    rounds = [anyio.run(ours) for _ in range(ROUNDS)]
    start_ms, call_ms, cpu_ms = (min(values) for values in zip(*rounds, strict=True))
    sdk_ms, sdk_cpu_ms = sdk()
    loaded_ms = import_ms("agent_skills.mcp.client.mounting")
    print_figures(
        [
            Figure("MCP call over stdio, p50", call_ms, "ms", "<= 1", {"mcp SDK": sdk_ms}),
            Figure("MCP call over stdio, CPU of the client", cpu_ms, "ms", "", {"mcp SDK": sdk_cpu_ms}),
            Figure("MCP server: start, agree, list", start_ms, "ms"),
            Figure(
                "import of the MCP client, CPU", loaded_ms, "ms", "", {"mcp SDK": round(import_ms("mcp"), 1)}
            ),
        ]
    )


if __name__ == "__main__":
    main()
