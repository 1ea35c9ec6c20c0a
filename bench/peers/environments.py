"""Each framework in an environment of its own, at an exact version, so that nothing of it enters ours or the lock.

The environments are made by `uv` and stay in its cache: after the first time this works offline. What cannot be
installed or fails is named with the reason and left out.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

MEASURE = Path(__file__).with_name("measure.py")
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 400


class Peer(NamedTuple):
    """A file beside this one, and what it needs."""

    file: str
    requirement: str


OURS = "agent-core"
PINNED_ON = "2026-11-22"
PEERS = {
    "Microsoft Agent Framework": Peer("agent_framework", "agent-framework-core==1.23.0"),
    "Agno": Peer("agno", "agno==3.1.10"),
    "LangGraph graph": Peer("langgraph", "langgraph==1.2.22"),
    "LangGraph agent": Peer("langgraph", "langgraph==1.2.22"),
    "OpenAI Agents": Peer("openai_agents", "openai-agents==0.24.0"),
    "pydantic-ai": Peer("pydantic_ai", "pydantic-ai-slim==2.68.0"),
}
EQUIPPED = ", equipped"
"""Behind a peer's name: the same agent with a history, a policy and an observer, each of the peer's own kind."""
QUIET = {
    "AGNO_TELEMETRY": "false",
    "ENABLE_INSTRUMENTATION": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONDONTWRITEBYTECODE": "",
}
"""Telemetry off, by each one's own switch; bytecode is cached."""


class NotMeasuredError(Exception):
    """A peer gave no figures; the message says why."""


@contextmanager
def served(command: list[str], environment: Mapping[str, str], folder: str) -> Generator[dict[str, Any]]:
    """A server in a process of its own, and the JSON object that it prints first, with its `pid`. Killed at the end.

    Raises:
        NotMeasuredError: it ended before it served.
    """
    log = Path(folder) / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    assert process.stdout is not None
    told: dict[str, Any] = {}
    try:
        for line in process.stdout:
            if line.startswith("{"):
                told = json.loads(line)
                break
        else:
            raise NotMeasuredError((log.read_text().strip().splitlines() or ["it printed nothing"])[-1])
        yield told
    finally:
        if told:
            os.kill(told["pid"], signal.SIGKILL)  # uv, if it is between us, ends with it
        process.wait()
        process.stdout.close()


class Environments:
    """Runs `measure.py` with our interpreter or with that of a peer in `names`. What it writes is temporary."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = tuple(names)
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._ours = {**os.environ, **QUIET, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        self._theirs = {
            name: value for name, value in self._ours.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
        }
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            try:
                self._install(PEERS[name])
            except NotMeasuredError as error:
                self.missing[name] = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def measure(self, name: str, *what: str) -> dict[str, float]:
        """The figures of one process of `measure.py`; see there.

        Raises:
            NotMeasuredError: it failed or took too long. Asked again, the same peer is not tried again.
        """
        installed = name.removesuffix(EQUIPPED)
        for known in (installed, name):
            if known in self.missing:
                raise NotMeasuredError(self.missing[known])
        try:
            if name == OURS:
                output = self._run([sys.executable, "-P", str(MEASURE), "ours", name, *what], self._ours)
            else:
                peer = PEERS[installed]
                command = [*self._uv(peer, "--offline"), "-P", str(MEASURE), peer.file, name, *what]
                output = self._run(command, self._theirs)
        except NotMeasuredError as error:
            if name != OURS:
                self.missing[name] = str(error)
            raise
        return json.loads(output.splitlines()[-1])

    def run_script(self, peer: Peer, *arguments: str) -> dict[str, float]:
        """The figures that the peer's own script prints last, as a JSON object.

        Raises:
            NotMeasuredError: it could not be installed, failed or took too long.
        """
        self._install(peer)
        script = str(MEASURE.with_name(f"{peer.file}.py"))
        output = self._run([*self._uv(peer, "--offline"), "-P", script, *arguments], self._theirs)
        return json.loads(output.splitlines()[-1])

    @contextmanager
    def serving(self, peer: Peer, *arguments: str) -> Generator[dict[str, Any]]:
        """The peer's own script as a server: what it prints first, a JSON object with its `pid`. Killed at the end.

        Raises:
            NotMeasuredError: it could not be installed, or ended before it served.
        """
        self._install(peer)
        script = str(MEASURE.with_name(f"{peer.file}.py"))
        command = [*self._uv(peer, "--offline"), "-P", script, *arguments]
        with served(command, self._theirs, self._folder.name) as told:
            yield told

    def _uv(self, peer: Peer, *options: str) -> list[str]:
        uv = shutil.which("uv")
        if uv is None:
            raise NotMeasuredError("there is no uv to make its environment with")
        newest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
        return [
            *(uv, "run", "--quiet", "--no-project", "--exclude-newer", newest, *options),
            *("--python", platform.python_version(), "--with", peer.requirement, "python"),
        ]

    def _install(self, peer: Peer) -> None:
        try:
            self._run([*self._uv(peer, "--offline"), "-c", ""], self._theirs)
        except NotMeasuredError:
            self._run([*self._uv(peer), "-c", ""], self._theirs)

    def _run(self, command: list[str], environment: dict[str, str]) -> str:
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=self._folder.name,
                capture_output=True,
                check=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasuredError(f"it took more than {TIMEOUT_S} s") from None
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            raise NotMeasuredError(reason.strip()) from None
        return done.stdout
