"""A process that adds is killed, again and again, on one file: what it was told is kept is there, and can be found."""

import random
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from agent_memory import LongTermMemory, MemoryUnavailableError

# Four tasks add episodes and values, and name on stdout what has been acknowledged.
PROGRAM = """
import asyncio, os, sys
from agent_memory import Fact, LongTermMemory

async def write(memory, task):
    for number in range(1_000_000):
        name = f"{sys.argv[2]}x{task}x{number}"
        await memory.add(f"episode {name} " + "word " * (number % 40), session_id=f"s{task}", key=name)
        await memory.set(name, number)
        await memory.state(Fact(subject="it", predicate="is_at", object=name, valid_from=float(number)))
        os.write(1, f"{name}\\n".encode())

async def main():
    async with await LongTermMemory.open(sys.argv[1]) as memory:
        await asyncio.gather(*(write(memory, task) for task in range(4)))

asyncio.run(main())
"""


def kill_after(path: Path, child_name: str, lines: int) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(path), child_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.read().splitlines(keepends=True)
    return [line.strip() for line in said if line.endswith("\n")]


async def kill_and_check(path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    acknowledged: list[str] = []
    for number in range(rounds):
        acknowledged += kill_after(path, f"r{number}", rng.randrange(1, 60))
        async with await LongTermMemory.open(path) as memory:
            kept = {one.text.split()[1] async for one in memory.episodes()}
            assert set(acknowledged) <= kept
            assert all(memory.get(name, int) is not None for name in acknowledged)
            (hit, *_) = await memory.search(f"where is {acknowledged[-1]}?")
            assert hit.text.split()[1] == acknowledged[-1], "the index was written with it"
            moments = [one.valid_from for one in await memory.facts("it", "is_at")]
            assert moments == sorted(set(moments)), "one thing is true at a time"


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    await kill_and_check(tmp_path / "memory.db", 4)


@pytest.mark.slow
async def test_what_was_acknowledged_survives_twenty_kills(tmp_path: Path) -> None:
    await kill_and_check(tmp_path / "memory.db", 20)


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def fill(memory: LongTermMemory) -> tuple[int, MemoryUnavailableError]:
    """How many episodes fit, and the error of the first that did not."""
    for number in range(5_000):
        try:
            await memory.add(f"episode {number} " + "x" * 300, session_id="s")
        except MemoryUnavailableError as error:
            return number, error
    raise AssertionError("the disk did not fill up")


@pytest.mark.parametrize("small_disk", [300, 500, 900], indirect=True)
async def test_a_full_disk_loses_nothing_and_the_memory_goes_on(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * 100_000)
    path = small_disk / "memory.db"
    async with await LongTermMemory.open(path) as memory:
        added, error = await fill(memory)
        assert "full" in error.reason
        assert error.retryable
        assert added > 0
        assert len([one async for one in memory.episodes()]) == added
        ballast.unlink()
        await memory.add(f"episode {added}", session_id="s")
    async with await LongTermMemory.open(path) as memory:
        assert [int(one.text.split()[1]) async for one in memory.episodes()] == list(range(added + 1))
