"""What a model takes, and what is free: files as the system writes them."""

import threading
from pathlib import Path

import pytest

from agent_gateway.engines.memory import (
    _group_bytes,
    _system_bytes,
    available_bytes,
    context_bytes,
    give_back,
    refuse_too_large,
    resident_bytes,
    wait_until_freed,
)
from agent_gateway.errors import WeightsError
from agent_gateway.gguf import GgufInfo

INFO = GgufInfo(
    architecture="llama",
    name="m",
    context_tokens=8_192,
    parameters=1,
    has_chat_template=True,
    kept_values_per_token=30 * 2 * 3 * 64,
)


def test_the_context_of_the_embedded_model() -> None:
    assert context_bytes(INFO, 4_096) == 94_371_840


def test_what_fits_is_let_through_and_what_does_not_is_told(tmp_path: Path) -> None:
    weights = tmp_path / "m.gguf"
    weights.write_bytes(bytes(2**20))
    needed = 2**20 + context_bytes(INFO, 1_000) + 128 * 2**20
    refuse_too_large(weights, INFO, context_tokens=1_000, free_bytes=needed)
    with pytest.raises(WeightsError, match=r"takes 151 MiB.*150 MiB are free; free some"):
        refuse_too_large(weights, INFO, context_tokens=1_000, free_bytes=150 * 2**20)


def test_the_system_says_what_is_available(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  900 kB\nMemFree: 1 kB\nMemAvailable:  500 kB\n")
    assert _system_bytes(meminfo) == 512_000
    assert _system_bytes(tmp_path / "none") > 1 << 50, "where nothing is said, nothing is refused"


@pytest.mark.parametrize(
    ("folder", "limit", "used", "cached"),
    [
        (".", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_control_group_leaves_less(tmp_path: Path, folder: str, limit: str, used: str, cached: str) -> None:
    inside = tmp_path / folder
    inside.mkdir(exist_ok=True)
    (inside / limit).write_text("1000\n")
    (inside / used).write_text("700\n")
    (inside / "memory.stat").write_text(f"anon 5\n{cached} 200\n")
    assert list(_group_bytes(tmp_path)) == [500]
    (inside / limit).write_text("max\n")
    assert list(_group_bytes(tmp_path)) == []


def test_here() -> None:
    assert 0 < available_bytes() < 1 << 60
    give_back()


def test_waiting_for_memory_to_come_back() -> None:
    size = 64 * 2**20
    held = bytearray(b"x" * size)
    before = resident_bytes()
    assert not wait_until_freed(size // 2, before_bytes=before, within_s=0.1)
    later = threading.Timer(0.2, held.clear)
    later.start()
    assert wait_until_freed(size // 2, before_bytes=before, within_s=20)
    later.join()
