"""One tool call in other frameworks: arguments validated, an async function called. Each in an environment of its own.

    python -P tool_calls.py NAME

prints the microseconds of a call, p50, in the environment of that framework.
"""

import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

PEERS = {
    "LangChain": "langchain-core==1.7.2",
    "OpenAI Agents": "openai-agents==0.24.0",
    "FastMCP": "fastmcp==4.1.2",
}
CALLS = 1_000
TIMEOUT_S = 400


async def echo(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


def langchain():
    from langchain_core.tools import tool

    made = tool(echo)

    async def call():
        return await made.ainvoke({"text": "hello"})

    return call


def openai_agents():
    from agents import function_tool
    from agents.tool_context import ToolContext
    from agents.usage import Usage

    made = function_tool(echo)
    arguments = json.dumps({"text": "hello", "times": 1})

    async def call():
        context = ToolContext(
            context=None, usage=Usage(), tool_name="echo", tool_call_id="c", tool_arguments=arguments
        )
        return await made.on_invoke_tool(context, arguments)

    return call


def fastmcp():
    from fastmcp import FastMCP

    server = FastMCP("bench")
    server.tool(echo)

    async def call():
        result = await server.call_tool("echo", {"text": "hello"})
        return result.content[0].text

    return call


async def call_us(call):
    assert await call() == "hello"
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def peers_us():
    """Each peer's microseconds; why there are none, where there are none."""
    uv = shutil.which("uv")
    if uv is None:
        return {"peers": "not measured: there is no uv"}
    newest = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["uv"][
        "exclude-newer"
    ]
    theirs = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    theirs |= {"OPENAI_AGENTS_DISABLE_TRACING": "1", "LANGSMITH_TRACING": "false"}
    found = {}
    for name, requirement in PEERS.items():
        command = [
            *(
                uv,
                "run",
                "--quiet",
                "--no-project",
                "--exclude-newer",
                newest,
                "--python",
                platform.python_version(),
            ),
            *("--with", requirement, "python", "-P", __file__, name),
        ]
        try:
            done = subprocess.run(
                command, env=theirs, capture_output=True, check=True, text=True, timeout=TIMEOUT_S
            )
            found[name] = round(float(done.stdout.splitlines()[-1]), 1)
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            said = getattr(error, "stderr", "") or str(error)
            found[name] = f"not measured: {said.strip().splitlines()[-1][:120]}"
    return found


if __name__ == "__main__":
    made = {"LangChain": langchain, "OpenAI Agents": openai_agents, "FastMCP": fastmcp}[sys.argv[1]]()
    print(asyncio.run(call_us(made)))
