"""What the daemon does to its process before it serves."""

import ctypes
import os
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from agent_api.serving import share_free_memory

if sys.argv[1] == "shared":
    share_free_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
all_here = threading.Barrier(6)

def take():
    libc.malloc(1_000)
    all_here.wait()

threads = [threading.Thread(target=take) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(how: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", ARENAS, how]
    output = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    return output.count(b"<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no arenas")
def test_threads_share_free_memory() -> None:
    assert arenas("apart") > 2
    assert arenas("shared") == 2
