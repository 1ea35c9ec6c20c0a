"""How a worker gives up its rights before it loads anything: user, limits, files, system calls. Nothing gives them back.

Order matters: the user goes first, as it takes the capabilities along, and the system calls last.
"""

from __future__ import annotations

import os
import resource

TYPE_CHECKING = False  # `typing` would cost each start some milliseconds
if TYPE_CHECKING:
    from typing import Any

    Order = dict[str, Any]

_LIMITS = {
    "memory_bytes": resource.RLIMIT_AS,
    "data_bytes": resource.RLIMIT_DATA,
    "cpu_s": resource.RLIMIT_CPU,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}


def confine(order: Order) -> None:
    """Give up what `order` says; what cannot be given up ends the worker.

    Raises:
        OSError: the kernel refused.
        RuntimeError: rights are left that should be gone.
    """
    if order["uid"] is not None:
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
        _assert_powerless()
    _limit(order["limits"])
    if order["landlock"] or order["seccomp"]:
        kernel = __import__("kernel")  # bubblewrap did this

        if order["landlock"]:
            kernel.fence(order["landlock"]["read"], order["landlock"]["write"])
        if order["seccomp"]:
            kernel.forbid(order["seccomp"])


def _limit(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    for name, value in limits.items():
        _, hard = resource.getrlimit(_LIMITS[name])
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(_LIMITS[name], (bound, bound))


def _assert_powerless() -> None:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 - quick to start
        held = [line.split() for line in status if line.startswith(("CapEff:", "CapPrm:", "CapAmb:"))]
    if any(int(mask, 16) for _, mask in held):
        raise RuntimeError("capabilities are left after the change of user")
