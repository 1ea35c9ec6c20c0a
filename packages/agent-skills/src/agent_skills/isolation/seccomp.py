"""The system calls that a sandboxed worker may not make, as a seccomp filter (classic BPF). x86-64 Linux.

A list of what is denied, not of what is allowed: the interpreter and a plugin's libraries must go on working on kernels
that do not exist yet. What is denied fails with EPERM, so that a library can say why; another architecture is killed.
"""

import errno
import struct
from typing import NamedTuple

ALWAYS_DENIED = {
    # other processes
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "pidfd_send_signal": 424, "process_madvise": 440, "process_mrelease": 448, "migrate_pages": 256,
    "move_pages": 279, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144,
    "sched_setaffinity": 203, "sched_setattr": 314, "ioprio_set": 251,
    # namespaces and mounts
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "open_tree_attr": 467, "name_to_handle_at": 303, "open_by_handle_at": 304,
    # doors to the kernel that no skill needs
    "bpf": 321, "userfaultfd": 323, "perf_event_open": 298, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "add_key": 248, "request_key": 249, "keyctl": 250, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169,
    "swapon": 167, "swapoff": 168, "acct": 163, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305, "quotactl": 179, "syslog": 103, "modify_ldt": 154, "personality": 135, "iopl": 172,
    "ioperm": 173,
    # what is shared by all processes of a machine; what is there is used by its number, without being opened
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240,
}  # fmt: skip
FORKS = {"fork": 57, "vfork": 58}
NETWORK = {"socket": 41, "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288}
SIGNALS = {"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297}
LEAVING = {"setsid": 112, "setpgid": 109}
_CLONE, _CLONE3, _SOCKETPAIR, _PRLIMIT64, _IOCTL, _FCNTL = 56, 435, 53, 302, 16, 72
_NEW_NAMESPACES = 0x7E020000
_CLONE_THREAD = 0x00010000
_SOCK_STREAM, _TCP, _INET, _INET6 = 1, 6, 2, 10
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: they type into the terminal of somebody else

_OWNER_BY_IOCTL = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
_OWNER_BY_FCNTL = (
    8,
    10,
    15,
)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: the kernel sends the owner a signal, any and for anybody

_LOAD, _AND, _JUMP_EQUAL, _JUMP_SET, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X86_64 = 0xC000003E
_NR, _ARCH, _ARGUMENTS = 0, 4, 16


class Allowed(NamedTuple):
    """What the filter leaves to a worker."""

    forks: bool
    """It may start processes. It may always become another program: that one is held by the same filter."""
    signals: bool
    """It may send signals, and leave its process group, by which it is killed: only in a process namespace of its own."""
    loopback: bool
    """It may speak TCP: only in a network namespace of its own, where there is nobody else."""


def program(allowed: Allowed) -> bytes:
    """The filter as the kernel reads it: 8 bytes an instruction."""
    denied = dict(ALWAYS_DENIED)
    for is_allowed, calls in (
        (allowed.loopback, NETWORK),
        (allowed.forks, FORKS),
        (allowed.signals, SIGNALS | LEAVING),
    ):
        if not is_allowed:
            denied |= calls
    code = [
        *_instructions((_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL)),
        *_instructions((_LOAD, 0, 0, _NR)),
        *_instructions((_JUMP_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)),  # the x32 calls
        *_instructions(
            (_JUMP_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
        ),  # libc uses clone
        *_by_argument(allowed),
    ]
    for number in denied.values():
        code += _instructions((_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return b"".join([*code, *_instructions((_RETURN, 0, 0, _ALLOW))])


def _by_argument(allowed: Allowed) -> list[bytes]:
    refuse, accept = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    code = _when(_CLONE, 0, (_JUMP_SET, 0, 1, _NEW_NAMESPACES), refuse, *_only_threads(allowed), accept)
    code += _when(_PRLIMIT64, 0, (_JUMP_EQUAL, 1, 0, 0), refuse, accept)  # its own limits alone
    refused: dict[int, tuple[int, ...]] = {_IOCTL: _TERMINAL_INPUT}
    if not allowed.signals:
        refused = {_IOCTL: (*_TERMINAL_INPUT, *_OWNER_BY_IOCTL), _FCNTL: _OWNER_BY_FCNTL}
    for call, requests in refused.items():
        for request in requests:
            code += _when(call, 1, (_JUMP_EQUAL, 0, 1, request), refuse, (_LOAD, 0, 0, _NR))
    # One of a pair of datagram sockets could send to any address: pairs of streams alone.
    kind = (_AND, 0, 0, 0xF)
    code += _when(_SOCKETPAIR, 1, kind, (_JUMP_EQUAL, 1, 0, _SOCK_STREAM), refuse, accept)
    if allowed.loopback:  # TCP over IP alone: a socket of another family may lead out of any namespace
        is_tcp = ((_LOAD, 0, 0, _ARGUMENTS + 16), (_JUMP_EQUAL, 2, 0, 0), (_JUMP_EQUAL, 1, 0, _TCP), refuse)
        is_ip = ((_LOAD, 0, 0, _ARGUMENTS), (_JUMP_EQUAL, 2, 0, _INET), (_JUMP_EQUAL, 1, 0, _INET6), refuse)
        is_stream = (kind, (_JUMP_EQUAL, 1, 0, _SOCK_STREAM), refuse)
        code += _when(NETWORK["socket"], 1, *is_stream, *is_tcp, *is_ip, accept)
    return code


def _only_threads(allowed: Allowed) -> list[tuple[int, int, int, int]]:
    if allowed.forks:
        return []
    return [(_JUMP_SET, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _when(call: int, argument: int, *body: tuple[int, int, int, int]) -> list[bytes]:
    """`body` looks at the low half of one argument of one call."""
    load = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)
    return _instructions((_JUMP_EQUAL, 0, len(body) + 1, call), load, *body)


def _instructions(*code: tuple[int, int, int, int]) -> list[bytes]:
    return [struct.pack("=HBBI", *one) for one in code]
