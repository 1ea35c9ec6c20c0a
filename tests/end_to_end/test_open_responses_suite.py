"""The compliance suite of Open Responses itself, run by bun from a checkout of theirs, against a real daemon.

`OPEN_RESPONSES=/path/to/openresponses pytest -m slow tests/end_to_end/test_open_responses_suite.py`, where the checkout has
its packages (`bun install`). Without a checkout, `test_open_responses.py` asks the same in
words of our own.
"""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = "OPEN_RESPONSES"
RUNNER = Path("bin") / "compliance-test.ts"
EMBEDDED = "local:smollm2-135m"
WILLING = "openai:willing"
TESTS = 17
"""Of their suite at the end of 2026; what it asks for beside them, such as a search on the web, it skips by itself."""


def suite(*arguments):
    """What the suite reports of each of its tests, as JSON."""
    checkout = Path(os.environ.get(CHECKOUT, ""))
    if CHECKOUT not in os.environ or not (checkout / RUNNER).is_file():
        pytest.skip(f"${CHECKOUT} names no checkout of openresponses/openresponses")
    bun = shutil.which("bun") or shutil.which("bun", path=checkout / "node_modules" / ".bin")
    if bun is None:
        pytest.skip("there is no bun to run the suite with")
    command = [bun, "run", str(RUNNER), "--json", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("served", "asked"), [(WILLING, "agent"), (WILLING, WILLING), (EMBEDDED, "agent")])
async def test_their_suite_passes(agentd, served, asked):
    daemon = agentd(served)
    report = await asyncio.to_thread(
        suite, "--base-url", f"{daemon.address}/v1", "--api-key", daemon.key, "--model", asked
    )
    wrong = {one["id"]: one["errors"] for one in report["results"] if one["status"] == "failed"}
    assert not wrong
    assert sum(one["status"] == "passed" for one in report["results"]) >= TESTS
