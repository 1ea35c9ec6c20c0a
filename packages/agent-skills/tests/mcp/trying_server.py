"""An MCP server that tries what it is told to, for the tests of its sandbox. It needs nothing but the standard library."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

TOOL = {"name": "attempt", "description": "Try an expression", "inputSchema": {"type": "object"}}


def connected(host, port):
    with socket.create_connection((host, port), timeout=5) as reached:
        return reached.recv(1)


KNOWN = {
    "os": os,
    "Path": Path,
    "subprocess": subprocess,
    "connected": connected,
    "request": urllib.request,
    "sys": sys,
}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "trying", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method != "tools/call":
        return None
    try:
        text = str(eval(params["arguments"]["expression"], dict(KNOWN)))
    except Exception as error:  # noqa: BLE001 - it is what came of the attempt
        text = f"{type(error).__name__}: {error}"
    return {"content": [{"type": "text", "text": text}]}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = answer(asked["method"], asked.get("params", {}))
    said = {"error": {"code": -32601, "message": "unknown"}} if result is None else {"result": result}
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}) + "\n")
    sys.stdout.flush()
