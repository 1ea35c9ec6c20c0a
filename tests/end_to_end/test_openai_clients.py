"""Clients that others made, each at an exact version in an environment of its own that uv makes and keeps, against a real daemon.

`pytest -m slow tests/end_to_end/test_openai_clients.py`
"""

import asyncio
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"
OPENAI_NODE = "openai@6.49.0"
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}


def run(script, requirements, *arguments):
    """What a script printed, a line a check."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv to make an environment with")
    newest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    wanted = [word for requirement in requirements for word in ("--with", requirement)]
    command = [uv, "run", "--quiet", "--no-project", "--exclude-newer", newest, "--python", "3.11", *wanted]
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}} | QUIET
    if subprocess.run(
        [*command, "python", "-c", ""], env=environment, capture_output=True, check=False
    ).returncode:
        pytest.skip(f"{', '.join(requirements)} cannot be installed here")
    return subprocess.run(
        [*command, "python", str(CLIENTS / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "requirements"),
    [
        ("openai_python.py", ("openai==2.54.0",)),
        ("litellm_client.py", ("litellm==1.106.2", "mcp")),
        ("a2a_client.py", ("a2a-sdk==1.3.0",)),
    ],
)
async def test_a_client_works_unchanged(agentd, script, requirements):
    checks = re.findall(r"^def ([a-z]\w+)\(client\)", (CLIENTS / script).read_text(), re.MULTILINE)
    daemon = agentd()
    done = await asyncio.to_thread(run, script, requirements, daemon.address, daemon.key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line in checks] == checks


@pytest.mark.slow
def test_a_client_for_node_works_unchanged(agentd, tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("there is no Node.js")
    script = tmp_path / "openai_node.mjs"
    script.write_text((CLIENTS / script.name).read_text())
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", OPENAI_NODE]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip(f"{OPENAI_NODE} cannot be installed here")
    checks = re.findall(r"^  async (\w+)\(\)", script.read_text(), re.MULTILINE)
    daemon = agentd()
    command = [node, str(script), daemon.address, daemon.key]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == checks
