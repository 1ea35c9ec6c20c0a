# ruff: noqa: T201  # a script that prints
"""A client by the `mcp` SDK, an oracle for the daemon's endpoint: `mcp_sdk_client.py URL KEY`."""

import sys

import anyio
import httpx
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url, key):
    for mode in ("auto", "legacy"):
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode) as client:
                await client.list_tools()
                result = await client.call_tool("calculator", {"expression": "6*7"})
                print(mode, client.protocol_version, result.content[0].text)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
