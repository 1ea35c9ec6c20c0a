"""`agent --help` is asked for all the time: it imports neither what draws nor what works."""

import subprocess
import sys

from typer.testing import CliRunner

import agent_api
from agent_api.cli import app

HEAVY = (
    "rich",
    "litestar",
    "httpx",
    "lancedb",
    "agent_core",
    "agent_gateway",
    "agent_memory",
    "agent_skills",
)
SHOWN = """
import sys
from agent_api.cli import main
sys.argv = ["agent", *sys.argv[1:], "--help"]
try:
    main()
except SystemExit:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


def test_help_is_shown_without_what_commands_need():
    for command in ((), ("run",), ("kb", "add")):
        done = subprocess.run(
            [sys.executable, "-c", SHOWN, *command], capture_output=True, text=True, check=True, timeout=60
        )
        assert f"Usage: {' '.join(('agent', *command))}" in done.stdout
        assert not {*HEAVY} & {*done.stderr.split()}


def test_a_newcomer_is_told_the_version_and_that_there_is_no_key_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path))
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"agent {agent_api.__version__}\n")
    listed = CliRunner().invoke(app, ["keys", "list"])
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "no key yet" in listed.stderr
