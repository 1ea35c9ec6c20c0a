import platform
from pathlib import Path

import pytest

from agent_memory.knowledge.allocators import give_back


def resident_mb():
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_free_goes_back_to_the_system():
    pieces = [bytearray(100_000) for _ in range(2_000)]  # too small to be mapped each for itself
    kept = pieces[-1]  # what is free lies below it, so that it does not go back by itself
    del pieces
    before = resident_mb()
    give_back()
    assert before - resident_mb() > 100
    assert len(kept) == 100_000
