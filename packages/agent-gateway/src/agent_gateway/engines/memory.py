"""What a model takes in memory, what is free, and how freed memory gets back to the system. Loads nothing."""

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agent_gateway.errors import WeightsError
from agent_gateway.gguf import GgufInfo

_SPARE_BYTES = 128 * 1024 * 1024
"""Beside weights and context: buffers for computing (36 MB for a 135M model), and the rest of the process."""
_KEPT_BYTES_PER_VALUE = 2
"""Keys and values are kept in 16 bits by llama.cpp and mistral.rs alike, whatever the weights are in."""
_NO_LIMIT = 1 << 60
_LOOK_S = 0.05


def refuse_too_large(
    path: Path, info: GgufInfo, *, context_tokens: int, free_bytes: int | None = None
) -> None:
    """Do nothing where the model at `path` fits into `free_bytes` (None: what is free now) with `context_tokens`.

    Raises:
        WeightsError: it does not; says what it takes and what there is.
    """
    free = available_bytes() if free_bytes is None else free_bytes
    weights, context = path.stat().st_size, context_bytes(info, context_tokens)
    needed = weights + context + _SPARE_BYTES
    if needed > free:
        reason = (
            f"it takes {_mib(needed)} of memory (weights {_mib(weights)}, a context of {context_tokens:,} tokens "
            f"{_mib(context)}, buffers {_mib(_SPARE_BYTES)}) and {_mib(free)} are free"
        )
        advice = "free some, lower context_tokens or slots, or choose a smaller quantization"
        raise WeightsError(path, reason, advice)


def context_bytes(info: GgufInfo, tokens: int) -> int:
    """The bytes of the keys and values of `tokens` tokens."""
    return tokens * info.kept_values_per_token * _KEPT_BYTES_PER_VALUE


def available_bytes() -> int:
    """What this process may still take: what the system has free, or what its control group leaves, if less."""
    return min(_system_bytes(Path("/proc/meminfo")), *_group_bytes(Path("/sys/fs/cgroup")), _NO_LIMIT)


def give_back() -> None:
    """Give freed memory back to the system: glibc keeps it else, 180 MB after a model of 98 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # another C library gives it back by itself
        trim(0)


def wait_until_freed(freed_bytes: int, *, before_bytes: int, within_s: float) -> bool:
    """Give memory back until this process holds `freed_bytes` less than `before_bytes`; whether it came to that.

    For engines that drop their weights in a thread of their own, some time after they were told to. Blocking.
    """
    until = time.monotonic() + within_s
    while True:
        give_back()
        if before_bytes - resident_bytes() >= freed_bytes:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)


def resident_bytes() -> int:
    """What this process holds in memory."""
    pages = _text(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def _system_bytes(meminfo: Path) -> int:
    """`MemAvailable`: with what the page cache would give up, which is where weights are mapped."""
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return _NO_LIMIT


def _group_bytes(root: Path) -> Iterator[int]:
    """What control groups leave, in either layout; cached files count as used there, and would be given up."""
    for limit_file, used_file, folder, cached in (
        ("memory.max", "memory.current", root, "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", root / "memory", "total_inactive_file"),
    ):
        limit, used = _text(folder / limit_file).strip(), _text(folder / used_file).strip()
        if limit.isdigit() and used.isdigit():
            rows = (line.split() for line in _text(folder / "memory.stat").splitlines())
            droppable = next((int(row[1]) for row in rows if row[:1] == [cached]), 0)
            yield max(0, int(limit) - int(used) + droppable)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // 2**20):,} MiB"
