"""What the long-term memory costs: adding, searching, values under keys beside plain sqlite3. `--json`: one object a line.

The plain statements are one table and the standard module, on the same disk, with the same settings (write-ahead log,
`synchronous=FULL`), in turns with ours: called where the caller is, which holds up its event loop for every commit, and
awaited in one thread, as ours are. The disk's own time (`fdatasync` of 4 KiB) is printed beside them, for nothing that
waits for it is quicker; `--folder` takes another disk.
"""

import asyncio
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from figures import Figure, print_figures

from agent_memory import LongTermMemory

ROUNDS = 9
VALUE = {"theme": "dark", "units": "metric", "language": "pt", "note": "x" * 90}
WORDS = [f"word{number}" for number in range(20_000)]


def sentence(rng: random.Random) -> str:
    """Twenty words, of which a few are common: as Zipf has it."""
    return " ".join(WORDS[min(int(rng.paretovariate(0.6)) - 1, 19_999)] for _ in range(20))


def plain(path: Path) -> sqlite3.Connection:
    """What anybody would write."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    return db


def put(db: sqlite3.Connection, key: str, at: float) -> None:
    db.execute(
        "INSERT INTO entries (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, msgspec.json.encode({**VALUE, "at": at})),
    )


def got(db: sqlite3.Connection, key: str) -> dict:
    (value,) = db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
    return msgspec.json.decode(value, type=dict)


def each_us(call: Callable[[str], object], count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for number in range(count):
        call(f"key{number % 500}")
    return (clock() - start) / count * 1e6


async def each_awaited_us(call: Callable[[str], Awaitable[object]], count: int, at_once: int) -> float:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await call(f"key{number % 500}")

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return (time.perf_counter() - start) / count * 1e6


def disk_us(folder: Path, count: int = 400) -> tuple[float, float]:
    """The median and the 99th in a hundred."""
    file = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY, 0o600)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        times.append((time.perf_counter() - start) * 1e6)
    os.close(file)
    times.sort()
    return times[count // 2], times[count * 99 // 100]


async def values(folder: Path) -> list[Figure]:
    """Set and get, ours and plain, in turns; the best round of each. A get waits for nothing: its time is the CPU's."""
    here, there = plain(folder / "here.db"), plain(folder / "there.db")
    loop = asyncio.get_running_loop()
    rounds: dict[str, list[float]] = {
        name: [] for name in ("set", "set64", "get", "plain set", "plain set in a thread", "plain get")
    }
    with ThreadPoolExecutor(1) as thread:
        async with await LongTermMemory.open(folder / "ours.db") as memory:

            async def in_a_thread(key: str) -> None:
                await loop.run_in_executor(thread, put, there, key, time.time())

            for _ in range(ROUNDS):
                rounds["plain set"].append(
                    each_us(lambda key: put(here, key, time.time()), 1_000, time.perf_counter)
                )
                rounds["plain set in a thread"].append(await each_awaited_us(in_a_thread, 1_000, 1))
                rounds["set"].append(await each_awaited_us(lambda key: memory.set(key, VALUE), 1_000, 1))
                rounds["set64"].append(await each_awaited_us(lambda key: memory.set(key, VALUE), 2_000, 64))
                rounds["plain get"].append(each_us(lambda key: got(here, key), 5_000, time.process_time))
                rounds["get"].append(each_us(lambda key: memory.get(key, dict), 5_000, time.process_time))
    here.close()
    there.close()
    best = {name: min(times) for name, times in rounds.items()}

    def figure(name: str, peer: str, of: str = "sqlite3") -> Figure:
        peers = {"us": round(best[name], 1), f"{of} us": round(best[peer], 1)}
        times = round(best[name] / best[peer], 2)
        return Figure(f"long_term.{name}.over_{of.replace(' ', '_')}", times, "times", "<= 1.3", peers)

    return [
        figure("get", "plain get"),
        figure("set", "plain set"),
        figure("set", "plain set in a thread", "sqlite3 in a thread"),
        figure("set64", "plain set"),
    ]


async def adding(folder: Path, count: int = 2_000) -> list[Figure]:
    """Adding to a memory that holds 20,000 episodes already, and searching it."""
    rng = random.Random(7)  # a fixed seed: the same text for every version
    async with await LongTermMemory.open(folder / "memory.db") as memory:

        async def fill(session: int) -> None:
            for _ in range(200):
                await memory.add(sentence(rng), session_id=f"s{session}", speaker="Ana")

        await asyncio.gather(*(fill(session) for session in range(100)))
        times = []
        for number in range(count):
            start = time.perf_counter()
            await memory.add(sentence(rng), session_id=f"n{number // 50}", speaker="Bo")
            times.append(time.perf_counter() - start)
        asked = []
        for _ in range(200):
            question = " ".join(rng.sample(WORDS[:2_000], 5))
            start = time.perf_counter()
            await memory.search(question)
            asked.append(time.perf_counter() - start)
    times.sort()
    asked.sort()
    return [
        Figure("long_term.add.p50", round(times[count // 2] * 1e3, 3), "ms"),
        Figure("long_term.add.p99", round(times[count * 99 // 100] * 1e3, 3), "ms", "<= 20"),
        Figure("long_term.search_22k.p50", round(asked[100] * 1e3, 2), "ms"),
        Figure("long_term.search_22k.p99", round(asked[197] * 1e3, 2), "ms"),
    ]


async def measure() -> list[Figure]:
    where = sys.argv[sys.argv.index("--folder") + 1] if "--folder" in sys.argv else Path.cwd()
    with tempfile.TemporaryDirectory(dir=where) as root:
        folder = Path(root)
        p50, p99 = disk_us(folder)
        figures = [*await values(folder), *await adding(folder)]
    return [
        Figure("long_term.disk.fdatasync.p50", round(p50, 1), "us"),
        Figure("long_term.disk.fdatasync.p99", round(p99, 1), "us"),
        *figures,
    ]


if __name__ == "__main__":
    print_figures(asyncio.run(measure()))
