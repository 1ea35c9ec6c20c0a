"""The Open Responses suite against a real daemon: over HTTP, server-sent events and WebSockets, each shape held to the document.

`pytest tests/end_to_end/test_open_responses.py`; against a daemon of yours, with a key of it:
`python tests/end_to_end/clients/open_responses.py http://127.0.0.1:8420 KEY agent open-responses.json`
"""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent / "clients" / "open_responses.py"
DOCUMENT = Path(__file__).parents[3] / "shared" / "specs" / "open-responses.json"


def hold(daemon, model):
    """Each check of the suite holds."""
    if not DOCUMENT.is_file():
        pytest.skip(f"{DOCUMENT.name} is not beside the checkout")
    command = [sys.executable, str(SUITE), daemon.address, daemon.key, model, str(DOCUMENT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.split()) == 17


@pytest.mark.parametrize("model", ["agent", "openai:scripted"])
def test_a_daemon_answers_as_open_responses_asks(agentd, model):
    hold(agentd(), model)


@pytest.mark.slow
def test_so_it_does_with_the_embedded_model(agentd):
    hold(agentd("local:smollm2-135m"), "agent")
