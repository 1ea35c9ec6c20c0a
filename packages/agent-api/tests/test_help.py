"""`agent --help` is asked for all the time: it imports neither what draws nor what works."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import agent_api
from agent_api import exit_codes
from agent_api.cli import app
from agent_api.cli.failure import explain

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


def run(*arguments, **environment):
    """The command as it is installed, in a process of its own."""
    command = [sys.executable, "-c", "import agent_api.entry; agent_api.entry.agent()", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "60", **environment},
    )


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("runs", "show", "nope"), 3, "run-not-found"),
        (("runs", "list", "--limit", "x"), 2, "usage"),
        (("run",), 2, "usage"),
        (("frobnicate",), 2, "usage"),
        (("memory", "forget"), 2, "usage"),
        (("kb", "search", "none", "x"), 3, "not-found"),
        (("runs", "list", "--data-dir", "/dev/null/x"), 1, "journal-unavailable"),
    ],
)
def test_an_error_is_one_line_an_exit_code_and_an_object_where_json_was_asked_for(
    tmp_path, arguments, code, kind
):
    place = {"AGENT_DATA_DIR": str(tmp_path)}
    told = run(*arguments, **place)
    assert (told.returncode, told.stdout) == (code, "")
    (line,) = told.stderr.splitlines()
    assert line.startswith("error: ")
    as_json = run(*arguments, "--json", **place)
    assert (as_json.returncode, as_json.stderr) == (code, told.stderr)
    error = json.loads(as_json.stdout)["error"]
    assert (error["type"], error["exit_code"], f"error: {error['message']}") == (kind, code, line)


def test_a_file_that_cannot_be_used_is_named(capsys):
    refused = PermissionError(13, "Permission denied", "/var/lib/agentd/knowledge")
    assert explain(refused, as_json=True) == 1
    told = capsys.readouterr()
    assert told.err == (
        "error: /var/lib/agentd/knowledge cannot be used: Permission denied; check the path and its permissions\n"
    )
    assert json.loads(told.out)["error"]["type"] == "storage"


def test_a_group_without_a_command_shows_its_help():
    told = run("runs")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("Usage: ")


def test_who_has_read_enough_ends_a_command_without_a_word(tmp_path):
    script = f'"{sys.executable}" -c "import agent_api.entry; agent_api.entry.agent()" config show; echo "code $?" >&2'
    done = subprocess.run(
        ["sh", "-c", f"( {script} ) | head -c 0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "AGENT_DATA_DIR": str(tmp_path)},
    )
    assert done.stderr == "code 0\n"


@pytest.mark.parametrize("after_s", [0.05, 0.15, 0.3, 0.6])
def test_an_interrupted_command_shows_no_traceback(tmp_path, after_s):
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import agent_api.entry; "
        'print("began", flush=True); agent_api.entry.agent()'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGENT_DATA_DIR": str(tmp_path)},
    )
    process.stdout.readline()
    time.sleep(after_s)  # wherever it is by then: it reads its modules, looks around, or is at its end
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode in {0, 1, 130}


def test_every_exit_code_is_explained():
    page = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"
    if not page.is_file():
        pytest.skip("the page is no part of the wheel's tests")
    told = {line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("| ")}
    codes = {str(value) for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}
    assert codes == told - {"exit code"}
