# ruff: noqa: T201  # a script that prints
"""Mounts the server whose command is given, lists its tools and calls `echo`: what a person would try first.

It runs in a sandbox that reads the folder given first.
"""

import sys
import tempfile
from pathlib import Path

import anyio

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner, probe
from agent_skills.mcp.client.mounting import mounted
from agent_skills.mcp.client.pins import Pins
from agent_skills.mcp.client.settings import McpServerSettings

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


async def main(read, *command):
    registry = SkillRegistry()
    with tempfile.TemporaryDirectory() as folder:
        pins = Pins(Path(folder) / "pins.json")
        settings = McpServerSettings(name="tried", command=command, read=(read,))
        async with mounted([settings], registry, pins, levels=await probe()) as mounts:
            if mounts["tried"].problem:
                sys.exit(mounts["tried"].problem)
            call = ToolCall(tool_call_id="1", name="tried_echo", arguments={"message": "hi", "text": "hi"})
            result = await SkillRunner(registry).run(call, CONTEXT)
            print(f"{len(mounts['tried'].tools)} tools; echo says {result.content!r}")
            if result.is_error:
                sys.exit(1)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
