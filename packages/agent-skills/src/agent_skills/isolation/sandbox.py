"""What a sandbox (level 2) leaves to a worker: which folders, how much memory, whether programs and network.

Words only: `bubblewrap` and `landlock` make it true. And how to start a worker without any.
"""

import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

from agent_skills.errors import IsolationError
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.launching import Launch, inherited_environment, worker_program

MEBIBYTE = 1024 * 1024
UNPRIVILEGED = 65534
"""The user and group inside, and outside too where the host is root."""


class Sandbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one sandbox. Everything that is not named is not there."""

    read: tuple[str, ...] = ()
    """Files and folders that may be read, besides the interpreter and its libraries. Absolute paths."""
    write: tuple[str, ...] = ()
    """Folders that may be written to as well."""
    folder: str = ""
    """Where the worker stands; empty: its private temporary folder."""
    programs: bool = False
    """It may start programs and processes (a shell); else it is one process, with threads."""
    egress: Egress = Egress()
    """The hosts that it may reach, through a proxy; there is no other network. Only bubblewrap can hold it to that."""
    memory_bytes: int = 512 * MEBIBYTE
    """Address space of each process; 0: no limit."""
    data_bytes: int = 0
    """Private writable memory of each process, for programs that reserve far more than they use; 0: no limit."""
    temporary_bytes: int = 64 * MEBIBYTE
    """Size of the private temporary folder, and of any one file."""
    cpu_s: int = 120
    """Processor seconds of each process: a second line behind the deadline; 0: no limit."""
    processes: int = 64
    """Processes and threads together."""
    open_files: int = 256

    def outside(self) -> tuple[int, int]:
        """The user and group that a worker has outside, where the host is root: the owner of what it writes to.

        Raises:
            IsolationError: that is root. It could read all that root can name, and no limit on processes would hold.
        """
        for folder in self.write:
            found = Path(folder).stat()
            if found.st_uid == 0:
                raise IsolationError(
                    f"{folder} belongs to root, and no sandbox is root's: give it to another user"
                )
            return found.st_uid, found.st_gid
        return UNPRIVILEGED, UNPRIVILEGED

    def limits(self) -> dict[str, int]:
        """What the worker sets as its resource limits."""
        limits = {
            "memory_bytes": self.memory_bytes,
            "data_bytes": self.data_bytes,
            "cpu_s": self.cpu_s,
            "file_bytes": self.temporary_bytes,
            "open_files": self.open_files,
            "processes": self.processes,
        }
        return {name: value for name, value in limits.items() if value}


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python, and what has to be readable for it to run."""

    executable: str
    needs: tuple[str, ...]
    """Files and folders, besides `/usr`."""

    @classmethod
    def own(cls) -> "Interpreter":
        """The one that runs this process, without its virtual environment."""
        prefix = str(Path(sys.base_prefix).resolve())
        return cls(
            executable=str(Path(sys.executable).resolve()), needs=() if _is_in_usr(prefix) else (prefix,)
        )


def _is_in_usr(path: str) -> bool:
    return path == "/usr" or path.startswith("/usr/")


@cache
def installed() -> tuple[str, ...]:
    """The folders where packages are installed for this interpreter.

    Never all of `sys.path`: the folder of a script is on it too, and that may be a home.
    """
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(path for path in (paths["purelib"], paths["platlib"]) if Path(path).is_dir()))


def home_of(module: str) -> tuple[str, str]:
    """Where a top-level module is: the folder that is to be on the path, and what of it has to be readable.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    name = module.partition(".")[0]
    spec = find_spec(name)
    if spec is None or not (spec.origin or spec.submodule_search_locations):
        raise ModuleNotFoundError(f"there is no module {name!r} that a worker could import", name=name)
    locations = list(spec.submodule_search_locations or ())
    code = Path(locations[0] if locations else str(spec.origin)).absolute()
    return str(code.parent), str(code)


class Imports(msgspec.Struct, frozen=True, kw_only=True):
    """Where a confined worker imports from. What stands beside a module stays unseen: only the module is named."""

    path: tuple[str, ...] = ()
    """Folders of installed packages."""
    modules: dict[str, str] = {}
    """Top-level modules that are elsewhere, each with its file, or its package's folder."""

    @classmethod
    def of(cls, names: Iterable[str]) -> "Imports":
        """So that these modules are found, and what is installed.

        Raises:
            ModuleNotFoundError: there is no such module.
        """
        path = installed()
        homes = {name.partition(".")[0]: home_of(name) for name in names}
        return cls(
            path=path, modules={name: code for name, (parent, code) in homes.items() if parent not in path}
        )

    @property
    def code(self) -> tuple[str, ...]:
        """What has to be readable."""
        return (*self.path, *self.modules.values())


def plain() -> Launch:
    """How to start a worker without a sandbox: it imports from where this process does."""
    stdlib = (sys.base_prefix, sys.base_exec_prefix)
    folders = (str(Path(entry).absolute()) for entry in sys.path if entry and Path(entry).is_dir())
    path = [one for one in folders if "site-packages" in one or not one.startswith(stdlib)]
    return Launch(
        command=(Interpreter.own().executable, "-I", "-S", "-B", worker_program()),
        starts_programs=True,
        path=tuple(path),
        environment=inherited_environment(),
    )
