"""An MCP server over standard input and output with as many tools as it is told: `many_server.py COUNT`."""

import sys

import anyio

from agent_skills.mcp.server.server import McpServer, ServerSettings
from agent_skills.mcp.server.stdio import serve_stdio

THINGS = (
    "invoice",
    "shipment",
    "pump",
    "contract",
    "ticket",
    "holiday",
    "sensor",
    "recipe",
    "flight",
    "parcel",
)
ACTS = ("create", "delete", "list", "export", "share")


def tools(count):
    for number in range(count):
        act, thing = ACTS[number % 5], THINGS[number // 5 % 10]
        yield {
            "name": f"{act}_{thing}_{number}",
            "description": f"{act.capitalize()} a {thing} of department {number}.",
            "inputSchema": {"type": "object", "properties": {"note": {"type": "string"}}},
        }


class Tools:
    async def list(self):
        return [*tools(int(sys.argv[1]))]

    async def call(self, name, arguments, exchange):
        return {"content": [{"type": "text", "text": f"{name} is done"}]}


if __name__ == "__main__":
    anyio.run(serve_stdio, McpServer(ServerSettings(name="Many", version="1"), Tools()))
