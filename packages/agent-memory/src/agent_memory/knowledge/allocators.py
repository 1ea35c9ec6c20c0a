"""Gives back to the system what allocators keep although it is free: after an ingest a hundred megabytes and more."""

import contextlib
import ctypes

from agent_memory.knowledge.rows import pa


def give_back() -> None:
    """Ask Arrow's pool and the C library; takes milliseconds, in which other threads go on.

    glibc keeps what a thread has freed in an arena of that thread, and LanceDB's threads have many. Other C libraries
    have no such call, and need none.
    """
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
