# ruff: noqa: T201  # a script that prints
"""Runs the MCP conformance suite, the inspector and server-everything against our client and server.

    uv run python packages/agent-skills/tests/mcp/conformance.py [FOLDER]

Installs what it needs of npm into FOLDER (a temporary one if none is named): Node 22 and the suite. Takes about six
minutes on two cores. Needs the extra `agent-skills[mcp]`, for OAuth. Exit code 0: no scored scenario failed.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
REVISIONS = ("2026-07-28", "2025-11-25")
PACKAGES = (
    "node@22",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@0.15.0",
    "@modelcontextprotocol/server-everything@2026.8.31",
)
EVERYTHING = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    binaries = folder / "node_modules" / ".bin"
    if not all((folder / "node_modules" / name.rpartition("@")[0]).is_dir() for name in PACKAGES):
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *PACKAGES], cwd=folder, check=True)
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}

    def run(*command):
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    good = [
        *(server(run, revision) for revision in REVISIONS),
        *(client(run, revision) for revision in REVISIONS),
        inspector(run),
        everything(run, folder),
    ]
    return 0 if all(good) else 1


def server(run, revision):
    port = free_port()
    serving = subprocess.Popen([sys.executable, str(HERE / "everything_server.py"), str(port)])
    try:
        wait_for(port)
        url = f"http://localhost:{port}/mcp"
        return report(
            f"server {revision}", run("conformance", "server", "--url", url, "--requirements", revision)
        )
    finally:
        serving.terminate()
        serving.wait()


def client(run, revision):
    command = shlex.join([sys.executable, str(HERE / "everything_client.py")])
    options = ("--requirements", revision, "--timeout", "300000", "-o", f"results-{revision}")
    return report(f"client {revision}", run("conformance", "client", "--command", command, *options))


def report(what, done):
    """One line a run. The suite's exit code is 0 where no scored scenario failed."""
    total = re.findall(r"^Total: (.*)$", done.stdout, re.MULTILINE)
    unscored = set(re.findall(r"^  [✓✗] (\S+) \(", done.stdout, re.MULTILINE))
    failed = [name for name in re.findall(r"^✗ (\S+):", done.stdout, re.MULTILINE) if name not in unscored]
    print(f"{what}: {len(failed)} scored failures; checks: {total[0] if total else 'none ran'}", flush=True)
    if done.returncode:
        print(done.stdout[-3_000:], done.stderr[-3_000:])
    return done.returncode == 0 and bool(total) and not failed


def inspector(run):
    ours = (sys.executable, str(HERE / "echo_server.py"))
    call = ("--method", "tools/call", "--tool-name", "echo", "--tool-arg", "text=hi")
    listed = run("mcp-inspector", "--cli", *ours, "--method", "tools/list")
    called = run("mcp-inspector", "--cli", *ours, *call)
    good = '"name": "echo"' in listed.stdout and '"text": "hi"' in called.stdout
    print(f"inspector with our server: {'works' if good else listed.stderr + called.stderr}", flush=True)
    return good


def everything(run, folder):
    command = (str(folder), "node", str(folder / EVERYTHING), "stdio")
    done = run(sys.executable, str(HERE / "try_server.py"), *command)
    print(f"server-everything, in a sandbox, with our client: {done.stdout or done.stderr}", flush=True)
    return done.returncode == 0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
