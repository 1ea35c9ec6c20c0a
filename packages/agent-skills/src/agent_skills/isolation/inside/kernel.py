"""What only the kernel's own calls give up: landlock, seccomp, and to outlive the host. Needs `ctypes`."""

import ctypes
import os
import select
import stat
import struct

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SIGKILL, _FILTER_MODE = 1, 22, 38, 9, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_SINCE, _TCP = 4, 3
_SCOPES_SINCE, _SCOPES = 6, 3
MIN_LANDLOCK_ABI = 3
"""Before 3 (Linux 6.2) a file could be truncated whatever the rules said."""

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """End this process when the thread that started it ends, whatever this process is doing then."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if parent and os.getppid() != parent:  # it was gone before we asked
        os._exit(1)


def end_group_after(descriptors: int) -> None:
    """Leave a process that kills this one's group once this one has ended: what it started has no namespace to end with.

    It keeps the rights that this one has now, and holds none of the `descriptors` that are open here.
    """
    watched = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(watched)
        return
    try:
        os.closerange(0, watched)
        os.closerange(watched + 1, descriptors)
        end = select.poll()  # no signal: what is confined may send it none, not even by its death
        end.register(watched)
        end.poll()
        os.killpg(0, _SIGKILL)
    finally:
        os._exit(1)


def forbid(program: str) -> None:
    """Put a seccomp filter, in hexadecimal, on this process and all that it starts; it cannot be taken off again.

    Raises:
        OSError: the kernel has no seccomp filters.
    """
    code = bytes.fromhex(program)
    holder = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(holder))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _checked(_libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.c_char_p(header), 0, 0))


def landlock_abi() -> int:
    """The landlock that the kernel has; 0: none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def fence(read: list[str], write: list[str]) -> None:
    """Leave these files and folders, to be read or to be written to, and no others.

    Raises:
        OSError: the kernel has no landlock, or an old one.
    """
    abi = landlock_abi()
    if abi < MIN_LANDLOCK_ABI:
        raise OSError(f"landlock {abi} is too old; {MIN_LANDLOCK_ABI} is needed")
    rights = next(mask for since, mask in sorted(_ALL_BY_ABI.items(), reverse=True) if abi >= since)
    attributes = struct.pack(
        "=QQQ", rights, _TCP if abi >= _TCP_SINCE else 0, _SCOPES if abi >= _SCOPES_SINCE else 0
    )
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    for path in read:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in write:
        _allow(ruleset, path, rights)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _FILE_RIGHTS
    _checked(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH, struct.pack("=Qi", rights, place), 0))
    os.close(place)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, value, 0, 0, 0))


def _checked(outcome: int) -> int:
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return outcome
