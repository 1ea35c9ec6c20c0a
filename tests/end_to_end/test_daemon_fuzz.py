"""The daemon under schemathesis, which draws requests from the OpenAPI document: no fault, and no reply that is not in there.

Schemathesis runs in an environment of its own that uv makes and keeps; `pytest -m slow tests/end_to_end/test_daemon_fuzz.py`.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCHEMATHESIS = "schemathesis==4.32.5"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
ROOT = Path(__file__).parents[2]


def schemathesis(*arguments):
    """How to run it."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv to make schemathesis' environment with")
    newest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    return [
        *(uv, "run", "--quiet", "--no-project", "--exclude-newer", newest),
        *("--python", "3.11", "--with", SCHEMATHESIS, "schemathesis", *arguments),
    ]


KEYS = "^/api/v1/keys/"
"""Drawn from after the others: a key that takes itself away opens nothing after that."""


async def drawn_from(daemon, folder, *chosen):
    """Have requests drawn from the daemon's document, and hold that nothing was found."""
    command = schemathesis(
        *("run", str(folder / "openapi.json"), "--url", daemon.address, *chosen),
        *("-H", f"Authorization: Bearer {daemon.key}"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--checks", ",".join(CHECKS)),
        *("--seed", "1", "--max-examples", "20", "--continue-on-failure", "--no-color"),
        *("--request-timeout", "30", "--suppress-health-check", "all"),
    )
    async with asyncio.timeout(1_500):
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, cwd=folder
        )
    sys.stdout.write(done.stdout[-6_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.slow
async def test_nothing_that_the_document_allows_or_forbids_is_a_fault(agentd, tmp_path):
    daemon = agentd(AGENT_MAX_RUNS="10000")
    async with daemon.client() as client:
        known = (await client.post("/api/v1/runs", json={"prompt": "words=3"})).json()["run_id"]
        document = (await client.get("/schema/openapi.json")).json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        await drawn_from(daemon, tmp_path, "--exclude-path-regex", KEYS)
        assert (await client.get(f"/api/v1/runs/{known}")).status_code == 200
        await drawn_from(daemon, tmp_path, "--include-path-regex", KEYS)
        assert (await client.get("/health")).status_code == 200
