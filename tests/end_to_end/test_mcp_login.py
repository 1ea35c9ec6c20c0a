"""A server of `agent.toml` that wants OAuth: a person logs in by the command line, and from then on its tools are there."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from agent_api.settings import HIDDEN

pytestmark = pytest.mark.skipif(find_spec("mcp") is None, reason="needs the extra agent-skills[mcp]")
SERVER = Path(__file__).parents[2] / "packages" / "agent-skills" / "tests" / "mcp" / "sdk_oauth_server.py"
TIMEOUT_S = 120


@pytest.fixture
def guarded() -> Iterator[dict[str, str]]:
    """Where the server is, and who lets in to it."""
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            finally:
                process.kill()


def visit(url: str, method: str = "GET") -> str:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=TIMEOUT_S) as reply:
        return str(reply.read().decode())


@pytest.fixture
def log_in(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., None]:
    """`agent mcp login` with a person who opens the printed address."""

    def go(*options: str) -> None:
        process = start("mcp", "login", "desk", "--no-browser", *options)
        assert process.stdout is not None
        if address := process.stdout.readline().strip():
            visit(address)
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, "logged in to desk" in said) == (0, True), said

    return go


def test_a_person_logs_in_and_the_tools_are_there_until_they_log_out(
    agent: Callable[..., Any],
    log_in: Callable[..., None],
    workspace: Path,
    tmp_path: Path,
    guarded: dict[str, str],
) -> None:
    (workspace / "agent.toml").write_text(
        f'plugins = false\n[mcp.servers.desk]\nurl = "{guarded["url"]}"\noauth = {{}}\n'
        'tenants = ["default", "acme"]\n'
    )
    before = agent("skills", "list")
    assert "agent mcp login desk" in before.err
    assert "Traceback" not in before.err

    log_in()
    assert "desk_add" in agent("skills", "list").out
    visit(f"{guarded['issuer']}/test/expire", "POST")
    assert "desk_add" in agent("skills", "list").out
    assert json.loads(visit(f"{guarded['issuer']}/test/counts"))["renewed"] == 1

    log_in("--tenant", "acme")
    kept = [path.relative_to(tmp_path / "data") for path in (tmp_path / "data").rglob("mcp-tokens/*.json")]
    assert sorted(map(str, kept)) == ["mcp-tokens/desk.json", "tenants/acme/mcp-tokens/desk.json"]
    assert all((tmp_path / "data" / path).stat().st_mode & 0o777 == 0o600 for path in kept)

    visit(f"{guarded['issuer']}/test/revoke", "POST")
    lost = agent("skills", "list")
    assert "agent mcp login desk" in lost.err
    assert "Traceback" not in lost.err
    assert "forgot the login" in agent("mcp", "logout", "desk").err
    assert "there is no login" in agent("mcp", "logout", "desk").err


def test_a_program_logs_in_by_a_secret_of_the_machine(
    agent: Callable[..., Any], workspace: Path, guarded: dict[str, str]
) -> None:
    (workspace / "agent.toml").write_text(
        f'plugins = false\n[mcp.servers.desk]\nurl = "{guarded["url"]}"\n'
        f'[mcp.servers.desk.oauth]\ngrant = "client_credentials"\nclient_id = "robot"\n'
        f'client_secret = "{{secret:robot}}"\nissuer = "{guarded["issuer"]}"\n'
    )
    assert "there is no secret 'robot'" in agent("skills", "list").err
    assert "desk_add" in agent("skills", "list", AGENT_SECRET_ROBOT="s3cret/+").out
    refused = agent("mcp", "login", "desk", AGENT_SECRET_ROBOT="s3cret/+")
    assert (refused.code != 0, "nobody logs in to it" in refused.err) == (True, True)
    shown = agent("config", "show", AGENT_SECRET_ROBOT="s3cret/+").out
    assert HIDDEN in shown
    assert "s3cret" not in shown


def test_a_server_that_cannot_be_logged_in_to_is_named(agent: Callable[..., Any], workspace: Path) -> None:
    (workspace / "agent.toml").write_text(
        'plugins = false\n[mcp.servers.open]\nurl = "https://open.example"\n'
    )
    assert "has no MCP server 'desk'; it has: open" in agent("mcp", "login", "desk").err
    assert "has no OAuth in the settings" in agent("mcp", "login", "open").err
    assert "is no name for a tenant" in agent("mcp", "login", "open", "--tenant", "A/B").err


async def test_a_daemon_that_runs_sees_a_login_and_renews_it_as_it_starts(
    agentd: Callable[..., Any], log_in: Callable[..., None], workspace: Path, guarded: dict[str, str]
) -> None:
    (workspace / "agent.toml").write_text(
        f'plugins = false\n[mcp.servers.desk]\nurl = "{guarded["url"]}"\noauth = {{}}\n'
    )

    async def desk(client: httpx.AsyncClient) -> dict[str, Any]:
        (view,) = (await client.get("/api/v1/mcp/servers")).json()["items"]
        return dict(view)

    daemon = agentd()
    async with daemon.client() as client:
        assert "agent mcp login desk" in (await desk(client))["problem"]
        await anyio.to_thread.run_sync(log_in)
        with anyio.fail_after(TIMEOUT_S):
            while (await desk(client))["problem"]:
                await anyio.sleep(0.2)
        assert [tool["skill"] for tool in (await desk(client))["tools"]] == ["desk_add"]
    daemon.process.terminate()
    daemon.process.wait(TIMEOUT_S)
    visit(f"{guarded['issuer']}/test/expire", "POST")
    async with agentd().client() as client:
        assert (await desk(client))["problem"] == ""
    assert json.loads(visit(f"{guarded['issuer']}/test/counts"))["renewed"] == 1
