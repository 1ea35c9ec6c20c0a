"""How a worker is started: the command, and the first line that it is sent. Data; `process` starts it."""

import os
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

import msgspec

from agent_skills.isolation.egress import PORT, Egress
from agent_skills.isolation.temporary import TemporaryFolder


class UserMap(msgspec.Struct, frozen=True, kw_only=True):
    """Who the powerless user of a sandbox is outside of it. Only root may write such a map."""

    uid: int
    gid: int


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker gives up before it loads anything; see `inside.confinement`."""

    uid: int | None = None
    gid: int | None = None
    limits: dict[str, int] = {}
    landlock: dict[str, list[str]] | None = None
    seccomp: str = ""
    """A filter in hexadecimal; empty where another put it on."""


INSIDE = Path(__file__).parent / "inside"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One way to start a worker."""

    command: tuple[str, ...]
    """The last argument, the descriptor, is put behind it."""
    confinement: Confinement | None = None
    path: tuple[str, ...] = ()
    """What the worker imports from, besides the standard library."""
    modules: dict[str, str] = {}
    """Top-level modules that are not in those folders, each with its file, or its package's folder."""
    folder: str = ""
    environment: dict[str, str] = {}
    users: UserMap | None = None
    filter: bytes = b""
    """A seccomp filter that bubblewrap is to put on."""
    tells_pid: bool = False
    """The command is bubblewrap, which says the number of the process that it started."""
    parent_is_host: bool = True
    starts_programs: bool = False
    """It may, and no namespace ends them: they are killed once the worker has ended, also where its host was killed."""
    egress: Egress = Egress()
    """Where there are hosts, the worker listens in its own network, and hands its socket over."""
    temporary: TemporaryFolder | None = None
    """It goes when the worker goes."""

    def order(self) -> dict[str, object]:
        """The first line that the worker is sent."""
        return {
            "confine": None if self.confinement is None else msgspec.to_builtins(self.confinement),
            "parent": os.getpid() if self.parent_is_host else 0,
            "starts": self.starts_programs,
            "path": self.path,
            "modules": self.modules,
            "folder": self.folder,
            "listen": PORT if self.egress.hosts else 0,
        }


_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def inherited_environment() -> dict[str, str]:
    """What an unconfined worker has of this process's environment: what programs need to run, and no secret."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


@cache
def worker_program() -> str:
    """The path of the worker's program. What it imports is compiled first: a sandboxed worker cannot keep bytecode."""
    import py_compile  # noqa: PLC0415 - once in a process

    for source in INSIDE.glob("*.py"):
        with suppress(OSError, py_compile.PyCompileError):
            if not Path(cache_from_source(str(source))).exists():
                py_compile.compile(str(source), doraise=True)
    return str(INSIDE / "worker.py")
