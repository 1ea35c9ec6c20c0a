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
WILLING = "openai:willing"
LANGCHAIN = ("langchain-tests==1.1.9", "langchain-openai==1.7.3")
NODE_CLIENTS = {
    "openai_node.mjs": ("openai@6.49.0",),
    "ai_sdk.mjs": ("ai@6.0.326", "@ai-sdk/openai@3.0.141", "@ai-sdk/openai-compatible@2.0.91", "zod@4.6.7"),
}
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}


def run(requirements, *arguments, **variables):
    """What Python did in an environment with the requirements alone."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv to make an environment with")
    newest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    wanted = [word for requirement in requirements for word in ("--with", requirement)]
    command = [uv, "run", "--quiet", "--no-project", "--exclude-newer", newest, "--python", "3.11", *wanted]
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment |= QUIET | variables
    if subprocess.run(
        [*command, "python", "-c", ""], env=environment, capture_output=True, check=False
    ).returncode:
        pytest.skip(f"{', '.join(requirements)} cannot be installed here")
    return subprocess.run(
        [*command, "python", *arguments],
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
    daemon = agentd(AGENT_WEBHOOK_NETWORKS="127.0.0.0/8", AGENT_WEBHOOK_PORTS="9")
    arguments = (str(CLIENTS / script), daemon.address, daemon.key)
    done = await asyncio.to_thread(run, requirements, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line in checks] == checks


@pytest.mark.slow
async def test_langchain_s_standard_tests_pass(agentd):
    daemon = agentd(WILLING)
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "-o", "asyncio_mode=auto")
    options += ("-o", "asyncio_default_test_loop_scope=session")  # the clients that they share outlive a test
    suite = ("-m", "pytest", *options, str(CLIENTS / "langchain_standard.py"))
    done = await asyncio.to_thread(run, LANGCHAIN, *suite, AGENTD_URL=daemon.address, AGENTD_KEY=daemon.key)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
    passed, skipped = (int(re.findall(rf"(\d+) {word}", done.stdout)[-1]) for word in ("passed", "skipped"))
    assert passed >= 76, (
        "all but pictures, sound and documents, another model, JSON without a schema, recordings"
    )
    assert skipped <= 24


@pytest.mark.slow
@pytest.mark.parametrize("script", NODE_CLIENTS)
def test_a_client_for_node_works_unchanged(agentd, tmp_path, script):
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("there is no Node.js")
    copy = tmp_path / script
    copy.write_text((CLIENTS / script).read_text())
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", *NODE_CLIENTS[script]]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip(f"{', '.join(NODE_CLIENTS[script])} cannot be installed here")
    checks = re.findall(r"^  async (\w+)\(\)", copy.read_text(), re.MULTILINE)
    daemon = agentd(WILLING)
    command = [node, str(copy), daemon.address, daemon.key]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == checks
