"""The second way to a sandbox, where user namespaces are missing: landlock for files, seccomp for the rest.

It needs no program and no rights. It has no namespaces: the worker sees process numbers of the machine, and can do nothing
to them; it cannot read files of others, and can ask whether they are there. There is no network at all. The
limit on processes counts all that the same user has on this machine.
"""

import ctypes
import os
from functools import cache

from agent_skills.errors import IsolationError
from agent_skills.isolation.bubblewrap import ETC
from agent_skills.isolation.launching import INSIDE, Confinement, Launch, worker_program
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox
from agent_skills.isolation.seccomp import Allowed, program
from agent_skills.isolation.temporary import TemporaryFolder

MIN_ABI = 3
"""Before 3 (Linux 6.2) a file could be truncated whatever the rules said."""
_CREATE_RULESET = 444
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@cache
def abi() -> int:
    """The landlock that the kernel has; 0: none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def launch(sandbox: Sandbox, interpreter: Interpreter, imports: Imports) -> Launch:
    """How to start a worker so.

    Raises:
        IsolationError: it is to reach hosts (its network would be that of the machine), or there is no place for its files.
    """
    if sandbox.egress.hosts:
        raise IsolationError(
            "landlock cannot hold a sandbox to some hosts: install bubblewrap, or give it no hosts"
        )
    uid = gid = None
    if os.geteuid() == 0:
        uid, gid = sandbox.outside()
    temporary = TemporaryFolder() if uid is None or gid is None else TemporaryFolder(uid=uid, gid=gid)
    read = [
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        *ETC,
        *interpreter.needs,
        str(INSIDE),
        *imports.code,
        *sandbox.read,
    ]
    return Launch(
        command=(interpreter.executable, "-I", "-S", "-B", worker_program()),
        confinement=Confinement(
            uid=uid,
            gid=gid,
            limits=sandbox.limits(),
            landlock={"read": [*read, *_DEVICES], "write": [temporary.path, *sandbox.write, "/dev/null"]},
            seccomp=program(Allowed(forks=sandbox.programs, signals=False, loopback=False)).hex(),
        ),
        starts_programs=sandbox.programs,
        path=imports.path,
        modules=imports.modules,
        folder=sandbox.folder or temporary.path,
        environment={
            "PATH": "/usr/bin:/bin",
            "HOME": temporary.path,
            "LANG": "C.UTF-8",
            "TMPDIR": temporary.path,
        },
        temporary=temporary,
    )
