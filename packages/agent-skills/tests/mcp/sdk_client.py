# ruff: noqa: T201  # a script that prints
"""A client by the `mcp` SDK: an oracle for our servers. Arguments: `stdio` and a command, or `http` and a URL."""

import sys

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult


async def fill_in(_context, _params):
    return ElicitResult(action="accept", content={"n": 5})


async def main(kind, *rest):
    server = StdioServerParameters(command=rest[0], args=list(rest[1:])) if kind == "stdio" else rest[0]
    for mode in ("auto", "legacy"):
        async with Client(server, mode=mode, elicitation_callback=fill_in) as client:
            tools = await client.list_tools()
            names = {tool.name for tool in tools.tools}
            tool, arguments = ("echo", {"text": "hi"}) if "echo" in names else ("test_simple_text", {})
            result = await client.call_tool(tool, arguments)
            print(mode, client.protocol_version, len(names), result.content[0].text)
            if "ask" in names:
                print((await client.call_tool("ask", {})).content[0].text)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
