"""Twelve ways out of a sandbox, run inside a worker. Each returns what it got hold of, or an empty text; or raises.

The standard library alone: this file is all of the tests that a sandboxed worker can read.
"""
# ruff: noqa: PTH115, PTH116, PTH208 - what is tried is the system call, not the library around it

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import time

CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH, PTRACE_TRACEME = 16, 0
MUCH = 4 << 30


def _tried(*attempts):
    """What the first attempt that works got hold of; empty: none worked."""
    for attempt in attempts:
        try:
            got = attempt()
        except (OSError, ValueError, MemoryError):
            continue
        if got:
            return repr(got)[:200]
    return ""


def home(canary):
    near = pathlib.Path(canary)
    return _tried(
        near.read_bytes,
        lambda: list(near.parent.iterdir()),
        (pathlib.Path("~root").expanduser() / ".bashrc").read_bytes,
        pathlib.Path("/etc/shadow").read_bytes,
        lambda: os.listdir("/" + "home"),
        lambda: (pathlib.Path("way").symlink_to(canary), pathlib.Path("way").read_bytes()),
    )


def metadata(canary):
    return _tried(lambda: os.stat(canary), lambda: os.readlink(canary + ".link"))


def write_outside(folder):
    def write(place):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(descriptor, b"x")
        os.close(descriptor)
        return place

    own = os.environ["TMPDIR"]
    places = [f"{folder}/new", "/new", "/etc/new", "/usr/new", "/dev/shm/new", "/dev/new", "/proc/new"]
    places += [f"{own}/../new", os.__file__, __file__, "/etc/passwd"]
    return _tried(*(lambda place=place: write(place) for place in places))


def network(port):
    def reach(kind, address):
        with socket.socket(socket.AF_INET, kind) as one:
            one.settimeout(2)
            one.connect(address)
            return one.send(b"out") and one.recv(1) if kind == socket.SOCK_STREAM else one.send(b"out")

    def raw():
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def host_machine():
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as one:
            one.connect((2, 22))
            return "vsock"

    return _tried(
        lambda: reach(socket.SOCK_STREAM, ("127.0.0.1", port)),
        lambda: reach(socket.SOCK_DGRAM, ("127.0.0.1", port)),
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.create_connection(("::1", port), timeout=1),
        raw,
        host_machine,
    )


def unix_socket(path, abstract):
    def reach(address):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(address)
            return one.recv(1)

    def send(address):
        first, _second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return first.sendto(b"out", address)

    return _tried(
        lambda: reach(path),
        lambda: reach("\0" + abstract),
        lambda: send(path + ".dgram"),
        lambda: reach("/run/dbus/system_bus_socket"),
    )


def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)

    def attach(number):
        return libc.ptrace(PTRACE_ATTACH, number, None, None) == 0

    def peek(number):
        buffer = ctypes.create_string_buffer(8)
        local = struct.pack("@PN", ctypes.addressof(buffer), 8)
        return libc.process_vm_readv(number, local, 1, struct.pack("@PN", id(libc), 8), 1, 0) > 0

    return _tried(
        *(lambda number=number: attach(number) for number in (pid, 1, os.getppid())),
        *(lambda number=number: peek(number) for number in (pid, 1, os.getppid())),
        lambda: os.kill(pid, 0) is None and "a signal",
        pathlib.Path(f"/proc/{pid}/mem").read_bytes,
    )


def fork_bomb(most):
    """More processes than `most`."""
    started = 0
    try:
        for _ in range(4 * most):
            if os.fork() == 0:
                time.sleep(3)
                os._exit(0)
            started += 1
    except OSError:
        pass
    return f"{started} processes" if started > most else ""


def thread_bomb(most):
    """More threads than `most`."""
    import threading

    go = threading.Event()
    started = 0
    try:
        for _ in range(4 * most):
            threading.Thread(target=go.wait, daemon=True).start()
            started += 1
    except (RuntimeError, MemoryError):
        pass
    go.set()
    return f"{started} threads" if started > most else ""


def memory():
    return _tried(lambda: len(bytearray(MUCH)), lambda: len(b"x" * MUCH))


def fill_disk(most):
    """More bytes than `most` in the private folder."""
    written = 0
    try:
        for number in range(100):
            with open(f"{os.environ['TMPDIR']}/{number}", "wb") as file:  # noqa: PTH123 - plain
                written += file.write(bytes(16 << 20))
                file.flush()
    except OSError:
        pass
    return f"{written} bytes" if written > most else ""


def endless_loop():
    while True:
        pass


def inherited_descriptor():
    import stat

    found = []
    for number in range(3, 1024):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        found.append(stat.filemode(mode)[0])
    # One socket, which leads to the host's own end of the worker.
    return "" if found == ["s"] else f"descriptors of the kinds {found}"


def environment(name):
    def named(place):
        return name.encode() in pathlib.Path(place).read_bytes()

    return _tried(
        lambda: os.environ.get(name),
        *(lambda pid=pid: named(f"/proc/{pid}/environ") for pid in ("self", 1, os.getppid())),
    )


def proc(pid):
    def write(place):
        descriptor = os.open(place, os.O_WRONLY)
        os.close(descriptor)
        return place

    return _tried(
        pathlib.Path(f"/proc/{pid}/environ").read_bytes,
        pathlib.Path(f"/proc/{pid}/cmdline").read_bytes,
        lambda: os.listdir(f"/proc/{pid}/root"),
        lambda: os.listdir(f"/proc/{pid}/cwd/"),
        lambda: pathlib.Path("/proc/kcore").open("rb").read(1),
        lambda: write("/proc/sys/kernel/core_pattern"),
        lambda: write("/proc/sysrq-trigger"),
        lambda: write("/proc/sys/vm/drop_caches"),
        lambda: os.listdir("/sys/fs/cgroup"),
    )


def nested_namespaces():
    libc = ctypes.CDLL(None, use_errno=True)

    def unshare():
        return libc.unshare(CLONE_NEWUSER) == 0

    def clone():
        pid = libc.syscall(56, CLONE_NEWUSER | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        return pid > 0

    def clone3():
        arguments = struct.pack("=QQQQQQQQ", CLONE_NEWUSER, 0, 0, 0, 17, 0, 0, 0)
        pid = libc.syscall(435, arguments, len(arguments))
        if pid == 0:
            os._exit(0)
        return pid > 0

    def mount():
        return libc.mount(b"none", os.environ["TMPDIR"].encode(), b"tmpfs", 0, None) == 0

    def become_root():
        os.setuid(0)
        return "root"

    return _tried(unshare, clone, clone3, mount, become_root, lambda: os.chroot("/") is None and "chroot")


def start_programs(marker, count):
    """Programs of every sort that outlive whoever does not take care: children, and orphans in sessions of their own."""
    for _ in range(count):
        subprocess.Popen(["sleep", marker])
        if os.fork() == 0:
            with contextlib.suppress(PermissionError):
                os.setsid()
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", marker])
            os._exit(0)
    time.sleep(600)


def shared_by_number(memory, queue, semaphores):
    """What belongs to all processes of a machine and is known by a small number: to open it needs no call but the one that
    uses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p

    def attach():
        place = libc.shmat(memory, None, 0)
        return place not in {None, ctypes.c_void_p(-1).value} and ctypes.string_at(place, 5)

    def receive():
        buffer = ctypes.create_string_buffer(64)
        return libc.msgrcv(queue, buffer, 8, 0, 0o4000) >= 0 and buffer.raw

    def send():
        return libc.msgsnd(queue, struct.pack("@l8s", 1, b"carried"), 8, 0o4000) == 0 and "sent"

    def raise_one():
        return libc.semop(semaphores, struct.pack("@Hhh", 0, 1, 0), 1) == 0 and "raised"

    def look(call, number, command):
        return libc.syscall(call, number, 0, command, ctypes.create_string_buffer(256)) >= 0 and "looked"

    return _tried(
        attach,
        receive,
        send,
        raise_one,
        lambda: libc.syscall(31, memory, 2, ctypes.create_string_buffer(256)) >= 0 and "looked",  # shmctl
        lambda: libc.syscall(71, queue, 2, ctypes.create_string_buffer(256)) >= 0 and "looked",  # msgctl
        lambda: look(66, semaphores, 12),  # semctl GETVAL
    )


def signal_by_owner(victim):
    """A signal that the kernel sends, to whom a descriptor is said to belong."""
    import fcntl

    def own(first, _second):
        fcntl.fcntl(first, 10, signal.SIGKILL)  # F_SETSIG
        fcntl.fcntl(first, fcntl.F_SETOWN, victim)

    def own_more(first, _second):
        fcntl.fcntl(first, 10, signal.SIGKILL)
        fcntl.fcntl(first, 15, struct.pack("@ii", 1, victim))  # F_SETOWN_EX, a process

    def own_by_ioctl(first, _second):
        fcntl.ioctl(first, 0x8901, struct.pack("@i", victim))  # FIOSETOWN

    def own_by_socket(first, _second):
        fcntl.ioctl(first, 0x8902, struct.pack("@i", victim))  # SIOCSPGRP

    def lease(first, _second):
        fcntl.fcntl(first, fcntl.F_SETFL, fcntl.fcntl(first, fcntl.F_GETFL) | os.O_ASYNC)

    def tried(how):
        first, second = socket.socketpair()
        with first, second:
            how(first, second)
            lease(first, second)
            second.send(b"now")
            return how.__name__

    return _tried(*(lambda how=how: tried(how) for how in (own, own_more, own_by_ioctl, own_by_socket)))


def devices():
    """Files that are none: made anew, or of the terminal of somebody else."""
    own = os.environ["TMPDIR"]

    def made(kind, number):
        place = f"{own}/device-{number}"
        os.mknod(place, kind | 0o600, number)
        return place

    return _tried(
        lambda: made(stat.S_IFBLK, os.makedev(8, 0)),
        lambda: made(stat.S_IFCHR, os.makedev(1, 1)) and open(f"{own}/device-257", "rb").read(1),  # noqa: PTH123
        lambda: os.open("/dev/tty", os.O_RDWR),
        lambda: os.open("/dev/fuse", os.O_RDWR),
        lambda: os.open("/dev/kvm", os.O_RDWR),
        lambda: os.open("/dev/mem", os.O_RDONLY),
    )


def doors_to_the_kernel():
    """Calls that no skill needs, by their numbers."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    numbers = {
        "bpf": (321, 0, buffer, 120),
        "userfaultfd": (323, 1),
        "io_uring_setup": (425, 4, buffer),
        "keyctl": (250, 0, -3, 1),
        "add_key": (248, b"user", b"note", b"word", 4, -3),
        "perf_event_open": (298, buffer, 0, -1, -1, 0),
        "pidfd_getfd": (438, 0, 0, 0),
        "open_by_handle_at": (304, -100, buffer, 0),
        "fsopen": (430, b"tmpfs", 0),
        "open_tree": (428, -100, b"/", 1),
        "unshare": (272, 0x20000),
        "quotactl_fd": (443, 0, 0, 0, buffer),
        "syslog": (103, 3, buffer, 64),
        "personality": (135, 0x0040000),
    }
    return _tried(*(lambda name=name, of=of: libc.syscall(*of) >= 0 and name for name, of in numbers.items()))
