"""A small MCP server over standard input and output, for the tests of the client. The first argument is a mood."""

import os
import sys

import anyio

from agent_skills.mcp.server.exchange import ELICIT, Question
from agent_skills.mcp.server.server import McpServer, ServerSettings
from agent_skills.mcp.server.stdio import serve_stdio

MOOD = sys.argv[1] if len(sys.argv) > 1 else ""
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


class Tools:
    async def list(self):
        return [
            {"name": "echo", "description": "Say it again", "inputSchema": SCHEMA},
            {"name": "ask", "description": "Ask a person", "inputSchema": {"type": "object"}},
            {"name": "die", "description": "End the process", "inputSchema": {"type": "object"}},
            {"name": "hang", "description": "Never answer", "inputSchema": {"type": "object"}},
            {"name": "secrets", "description": "Show the environment", "inputSchema": {"type": "object"}},
        ]

    async def call(self, name, arguments, exchange):
        match name:
            case "echo":
                await exchange.progress(1, 1, "said")
                text = arguments["text"]
            case "ask":
                form = {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}}
                question = Question(method=ELICIT, params={"message": "which?", "requestedSchema": form})
                text = str((await exchange.ask({"n": question}))["n"])
            case "die":
                sys.stderr.write("I had enough\n")
                sys.stderr.flush()
                os._exit(3)
            case "hang":
                await anyio.sleep_forever()
            case _:
                text = ",".join(sorted(os.environ))
        return {"content": [{"type": "text", "text": text}]}


if MOOD == "noisy":
    sys.stdout.write("Welcome to the echo server!\n")
    sys.stdout.flush()
if MOOD == "broken":
    sys.exit("no module named anything")
anyio.run(serve_stdio, McpServer(ServerSettings(name="echo", version="1", instructions="Be kind."), Tools()))
