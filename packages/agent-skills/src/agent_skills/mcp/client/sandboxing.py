"""Where the process of an MCP server runs: in a sandbox (level 2), unless its settings say by name that it does not.

A server is somebody else's code that a model talks to. In its sandbox it reaches the hosts that are named and no other,
reads its program and what is named, and writes to its own folder.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from agent_skills.errors import IsolationError
from agent_skills.isolation import bubblewrap
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.levels import Levels
from agent_skills.isolation.program import SandboxedProgram
from agent_skills.isolation.sandbox import MEBIBYTE, Imports, Interpreter, Sandbox
from agent_skills.mcp.client.settings import McpServerSettings
from agent_skills.mcp.client.stdio import Start, unconfined
from agent_skills.mcp.errors import McpUnavailableError
from agent_skills.needs import Level

TEMPORARY_BYTES = 256 * MEBIBYTE
PROCESSES = 128
OPEN_FILES = 1024


def refusal(settings: McpServerSettings, levels: Levels | None) -> str:
    """Why a server is not started on this machine; empty: it is."""
    if not settings.command or settings.sandbox == "none":
        return ""
    if levels is None:
        missing = "nobody looked whether there is one: pass levels=await probe()"
    else:
        missing = levels.missing(Level.SANDBOX)
    if not missing:
        return ""
    return (
        f'it runs in a sandbox, and there is none ({missing}); sandbox = "none" runs it with all your rights'
    )


def confinement(settings: McpServerSettings, levels: Levels | None) -> str:
    """Where a server runs, in a line for people."""
    if not settings.command:
        return f"elsewhere, at {settings.url}"
    if settings.sandbox == "none":
        return "without a sandbox: it has all the rights of this process"
    if reason := refusal(settings, levels):
        return f"nowhere: {reason}"
    reads = ", ".join(settings.read) or "nothing but its program"
    writes = str(settings.folder or "nothing but a temporary folder")
    network = f"reaches {', '.join(settings.egress.hosts)} alone" if settings.egress.hosts else "no network"
    return f"in a sandbox: {network}; reads {reads}; writes to {writes}"


def start_of(settings: McpServerSettings, levels: Levels | None) -> Start:
    """How the process of a server is started."""
    if settings.sandbox == "none":
        return unconfined(
            settings.name, settings.command, environment=settings.environment, folder=settings.folder
        )

    async def start() -> SandboxedProgram:
        try:
            launch, argv, environment = _prepared(settings, levels)
            return await SandboxedProgram.start(settings.name, launch, argv, environment)
        except IsolationError as error:
            raise McpUnavailableError(settings.name, str(error)) from error

    return start


def _prepared(
    settings: McpServerSettings, levels: Levels | None
) -> tuple[Launch, list[str], Mapping[str, str]]:
    """The sandbox, the command in it, and its environment."""
    if levels is None:
        raise IsolationError(refusal(settings, levels))
    folder = str(settings.folder or "")
    if folder and not Path(folder).is_dir():
        raise IsolationError(f"{folder!r} is no folder; create it or set another")
    program = _program(settings)
    sandbox = Sandbox(
        read=tuple(dict.fromkeys((*_needs(program), *settings.read))),
        write=(folder,) if folder else (),
        folder=folder,
        programs=True,
        egress=settings.egress,
        memory_bytes=0,  # what runs JavaScript reserves a hundred times of what it uses
        data_bytes=settings.memory_bytes,
        temporary_bytes=TEMPORARY_BYTES,
        cpu_s=0,
        processes=PROCESSES,
        open_files=OPEN_FILES,
    )
    launch = levels.sandboxed()(sandbox, Interpreter.own(), Imports())
    environment: Mapping[str, str] = {
        **(launch.environment or bubblewrap.ENVIRONMENT),
        **({"HOME": folder} if folder else {}),
        **settings.egress.environment(),
        **settings.environment,
    }
    return launch, [str(program), *settings.command[1:]], environment


def _program(settings: McpServerSettings) -> Path:
    name = settings.command[0]
    found = shutil.which(name, path=settings.environment.get("PATH"))
    if found is None:
        raise IsolationError(f"{name!r} cannot be started: there is no such program")
    return Path(os.path.abspath(found))  # noqa: PTH100 - a link of a virtual environment is to stay one


def _needs(program: Path) -> tuple[str, ...]:
    """What a program is itself: its file; of a Python in a virtual environment that one, and the Python below it."""
    environment = program.parent.parent
    if (environment / "pyvenv.cfg").is_file():
        real = program.resolve()
        return (str(environment), *_beyond_usr(real.parent.parent))
    own = Interpreter.own()
    if str(program.resolve()) == own.executable:
        return (*_beyond_usr(program), *own.needs)
    return tuple(dict.fromkeys((*_beyond_usr(program), *_beyond_usr(program.resolve()))))


def _beyond_usr(path: Path) -> tuple[str, ...]:
    in_usr = path.resolve().is_relative_to("/usr")
    return () if in_usr else (str(path),)
