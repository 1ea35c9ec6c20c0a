"""Our client against a server of the SDK, and the SDK's client against our servers. In processes of their own: the SDK
is heavy, and is not for this one.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.stdio import StdioChannel, unconfined

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(find_spec("mcp") is None, reason="needs the extra agent-skills[mcp]")


async def ask_sdk(*arguments):
    done = await anyio.run_process([sys.executable, str(HERE / "sdk_client.py"), *arguments], check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


async def test_the_sdk_speaks_with_our_server_over_stdio():
    lines = await ask_sdk("stdio", sys.executable, str(HERE / "echo_server.py"))
    assert lines == [
        "auto 2026-07-28 5 hi",
        "{'action': 'accept', 'content': {'n': 5}}",
        "legacy 2025-11-25 5 hi",
        "{'action': 'accept', 'content': {'n': 5}}",
    ]


async def test_the_sdk_speaks_with_our_server_over_http(everything_url, everything):
    lines = await ask_sdk("http", f"{everything_url}/mcp")
    text = "This is a simple text response for testing."
    count = len(everything.TOOLS)
    assert lines == [f"auto 2026-07-28 {count} {text}", f"legacy 2025-11-25 {count} {text}"]


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_our_client_speaks_with_a_server_of_the_sdk(revision):
    channel = StdioChannel("oracle", unconfined("oracle", [sys.executable, str(HERE / "sdk_server.py")]))
    connection = McpConnection("oracle", channel, revision=revision)
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(60):
            await tasks.start(connection.run)
        (tool,) = await connection.list_all("tools/list", "tools")
        result = await connection.call("tools/call", {"name": tool["name"], "arguments": {"a": 2}})
        tasks.cancel_scope.cancel()
    assert connection.revision == revision
    assert result["content"][0]["text"] == "3"


def test_mcp_loads_neither_the_sdk_nor_httpx():
    code = (
        "import sys, agent_skills.mcp.client.mounting, agent_skills.mcp.server.asgi, agent_skills.mcp.client.oauth\n"
        "print(sorted({'mcp', 'httpx', 'httpx2', 'pydantic', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
