"""`Programs`: the host's side. A new sandbox for each program; without a way to a sandbox there is no `Programs`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent_core.tools import Label, ToolSpec
from agent_skills.errors import (
    IsolationError,
    SkillError,
    SkillFailedError,
    SkillTimeoutError,
    WorkerDiedError,
)
from agent_skills.isolation.egress import NO_EGRESS, Egress
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.levels import Levels
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import MEBIBYTE, Imports, Interpreter, Sandbox
from agent_skills.needs import Level

MAX_OUTPUT_BYTES: Final = 60_000
GRACE_S: Final = 3.0
"""Seconds beside the deadline in which the sandbox starts and says what came of it."""
_INSIDE: Final = Path(__file__).parent / "inside.py"


class ProgramOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a program."""

    code: int
    """Its exit code; below 0: the signal that ended it."""
    output: str
    cut: int = 0
    """Bytes left out of the middle of the output."""
    timed_out: bool = False
    error: str = ""
    """Why it did not start."""

    def told(self) -> str:
        """The outcome in words for a model."""
        if self.timed_out:
            return f"{self.output}\n[it was stopped: its time is up]".lstrip()
        if self.code:
            return f"{self.output}\n[exit code {self.code}]".lstrip()
        return self.output or "[it ended well and said nothing]"


class Programs:
    """Runs programs in sandboxes (level 2)."""

    def __init__(
        self, levels: Levels, *, memory_bytes: int = 1024 * MEBIBYTE, egress: Egress = NO_EGRESS
    ) -> None:
        """`levels`: what this machine has, from `isolation.levels.probe`. `memory_bytes`: of each process.

        `egress`: the hosts that they may reach; only bubblewrap can hold them to those.

        Raises:
            IsolationError: there is no sandbox; nothing is run without one.
        """
        missing = levels.missing(Level.SANDBOX)
        if missing:
            raise IsolationError(f"programs run in a sandbox alone, and there is none: {missing}")
        self._confine = levels.sandboxed()
        self._memory_bytes = memory_bytes
        self._egress = egress

    @property
    def python(self) -> str:
        """The interpreter that is there inside."""
        return Interpreter.own().executable

    def described(self, spec: ToolSpec) -> ToolSpec:
        """The specification of a tool that runs programs, with what they reach of the network: in words for the model, and in
        labels for a policy.
        """
        hosts = self._egress.hosts
        if not hosts:
            return msgspec.structs.replace(spec, description=f"{spec.description} There is no network.")
        which = "public hosts" if "*" in hosts else ", ".join(hosts)
        told = f"Of the network there is only this, by the proxy that the environment names: {which}."
        return msgspec.structs.replace(
            spec,
            description=f"{spec.description} {told}",
            labels=tuple(dict.fromkeys((*spec.labels, Label.RETURNS_UNTRUSTED, Label.SENDS_OUT))),
            idempotent=False,  # what a host was asked to do, it may do twice
        )

    def check_writable(self, folder: Path) -> None:
        """Hold that programs can be given a folder to write to.

        Raises:
            SkillError: it is no folder, or belongs to root while we are root: a program is never run as root.
        """
        if not folder.is_dir():
            raise SkillError(f"{str(folder)!r} is no folder; create it or set another")
        if os.geteuid() == 0 and folder.stat().st_uid == 0:
            raise SkillError(
                f"{str(folder)!r} belongs to root, and no program is run as root: give it to another user (chown)"
            )

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        read: Sequence[Path] = (),
        write: Sequence[Path] = (),
        folder: Path | None = None,
        timeout_s: float = 60.0,
    ) -> ProgramOutcome:
        """Run a program. It has no network but its `egress`, a temporary folder of its own, and what is named here.

        Args:
            argv: the program and its arguments.
            stdin: what it reads.
            read: files and folders that it may read.
            write: folders that it may also write to.
            folder: where it stands; the temporary folder if none is given.
            timeout_s: seconds until it and all that it started is ended.

        Raises:
            SkillFailedError: the sandbox could not be entered, or broke.
        """
        sandbox = Sandbox(
            read=tuple(str(one) for one in read),
            write=tuple(str(one) for one in write),
            folder=str(folder) if folder else "",
            programs=True,
            memory_bytes=self._memory_bytes,
            egress=self._egress,
        )
        arguments: dict[str, object] = {
            "argv": list(argv),
            "stdin": stdin,
            "folder": str(folder) if folder else "",
            "timeout_s": timeout_s,
            "max_bytes": MAX_OUTPUT_BYTES,
        }
        try:
            launch = self._confine(
                sandbox, Interpreter.own(), Imports(modules={"program_inside": str(_INSIDE)})
            )
            outcome = _outcome(await _ask(launch, arguments, timeout_s + GRACE_S))
        except SkillTimeoutError:
            return ProgramOutcome(code=-9, output="", timed_out=True)
        except (IsolationError, WorkerDiedError) as error:
            raise SkillFailedError(f"the sandbox broke: {error}", code="isolation_failed") from error
        if outcome.error:
            raise SkillFailedError(f"{argv[0]} cannot be started: {outcome.error}", code="not_started")
        return outcome


async def _ask(launch: Launch, arguments: dict[str, object], timeout_s: float) -> object:
    """What the inside answers; the sandbox is gone when this returns."""
    worker = await WorkerProcess.start("program", launch)
    try:
        return await worker.ask(
            {"function": "program_inside:run", "arguments": arguments}, timeout_s=timeout_s
        )
    finally:
        await worker.aclose()


def _outcome(answer: object) -> ProgramOutcome:
    """What a sandbox said, believed as far as it has the right form."""
    try:
        return msgspec.convert(answer, dict[str, ProgramOutcome])["ok"]
    except (msgspec.ValidationError, KeyError):
        raise SkillFailedError("the sandbox said what nobody can read", code="isolation_failed") from None
