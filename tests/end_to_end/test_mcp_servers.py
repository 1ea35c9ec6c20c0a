"""MCP servers of `agent.toml` on the command line: their tools are listed, wait when they change, and are approved."""

import json
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "packages" / "agent-api" / "tests" / "mcp" / "desk_server.py"


def test_what_changed_waits_until_it_is_approved(agent, workspace, tmp_path):
    description = tmp_path / "description"
    description.write_text("Say it again")
    command = json.dumps([sys.executable, str(SCRIPT), str(description)])
    (workspace / "agent.toml").write_text(
        f'plugins = false\n[mcp.servers.desk]\ncommand = {command}\nsandbox = "none"\n'
        'environment = {KEY = "hunter2"}\n'
    )
    listed = [json.loads(line) for line in agent("skills", "list", "--json").out.splitlines()]
    assert ("desk_echo", "mcp:desk") in [(one["name"], one["plugin"]) for one in listed]
    assert "hunter2" not in agent("config", "show").out

    description.write_text("Say it louder")
    listed = agent("skills", "list")
    assert "desk_echo" not in listed.out
    assert "1 tools wait" in listed.err
    (server,) = [json.loads(line) for line in agent("skills", "servers", "--json").out.splitlines()]
    waiting = {tool["name"]: tool for tool in server["tools"]}["echo"]
    assert (waiting["standing"], waiting["before"]["description"]) == ("quarantined", "Say it again")
    assert "hunter2" not in json.dumps(server)
    assert agent("skills", "approve", "desk", "nothing").code == 3
    assert agent("skills", "approve", "chair").code == 3
    assert agent("skills", "approve", "desk").out == "echo\n"
    assert "desk_echo" in agent("skills", "list").out
    assert "quarantined" not in agent("skills", "servers").out
