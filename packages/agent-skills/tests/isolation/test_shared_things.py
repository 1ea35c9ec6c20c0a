"""What processes of one machine share besides files and sockets, and signals that are not sent by `kill`."""

import contextlib
import ctypes
import os
import struct
import subprocess

import anyio
import pytest

from agent_skills.errors import WorkerDiedError
from agent_skills.isolation.sandbox import UNPRIVILEGED, Sandbox

ROOMS = {"alone": Sandbox(processes=64), "with_programs": Sandbox(processes=64, programs=True)}


async def attempt(worker, name, **arguments):
    """What an attempt got hold of."""
    answer = await worker.ask({"function": f"attempts:{name}", "arguments": arguments}, timeout_s=30)
    assert "ok" in answer, answer  # the attempt itself ran
    return answer["ok"]


@pytest.fixture
def shared():
    """Memory, a queue and semaphores of this process that anybody may use who can name them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    new = 0o1666
    memory, queue = libc.shmget(0, 4096, new), libc.msgget(0, new)
    semaphores = libc.semget(0, 1, new)
    if min(memory, queue, semaphores) < 0:
        pytest.skip("this machine has no such memory, queues or semaphores")
    ctypes.memmove(libc.shmat(memory, None, 0), b"found", 5)
    libc.msgsnd(queue, struct.pack("@l8s", 1, b"found"), 8, 0)
    yield {"memory": memory, "queue": queue, "semaphores": semaphores}
    libc.shmctl(memory, 0, None)
    libc.msgctl(queue, 0, None)
    libc.semctl(semaphores, 0, 0)


@pytest.fixture
def victim():
    """A process of the user that workers are."""
    user = {"user": UNPRIVILEGED, "group": UNPRIVILEGED} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **user) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("room", ROOMS)
async def test_nothing_is_shared_by_its_number(start, shared, room):
    async with start(ROOMS[room]) as worker:
        assert await attempt(worker, "shared_by_number", **shared) == ""


@pytest.mark.parametrize("room", ROOMS)
async def test_no_signal_is_sent_to_the_owner_of_a_descriptor(start, mechanism, victim, room):
    async with start(ROOMS[room]) as worker:
        with contextlib.suppress(WorkerDiedError):
            got = await attempt(worker, "signal_by_owner", victim=victim.pid)
            # In a process namespace of its own the number is of nobody, or of one of its own.
            assert got == "" or mechanism == "bubblewrap"
    await anyio.sleep(0.1)
    assert victim.poll() is None


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", ["devices", "doors_to_the_kernel"])
async def test_no_device_and_no_door_to_the_kernel_is_open(start, name, room):
    async with start(ROOMS[room]) as worker:
        assert await attempt(worker, name) == ""
