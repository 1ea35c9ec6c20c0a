"""What the SQLite journal costs: runs a second, one append, bytes, resuming. `--json`: one object a line."""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from figures import Figure, print_figures

from agent_core import codec
from agent_core import events as ev
from agent_core.messages import Usage, assistant, user
from agent_core.tools import ToolCall
from agent_core.transitions import replay
from agent_memory import SqliteJournal

WRITER = "node-1/4711"
BATCHES = ((0, 3), (3, 5), (5, 8))
"""A run with one tool, as a runner appends it: started to called; returned and judged; answered to stored."""


def one_tool_run(run_id: str) -> tuple[ev.Event, ...]:
    """The eight events of a run with one tool call."""
    call = ToolCall(
        tool_call_id="call_1", name="get_weather", arguments={"city": "Lisbon", "unit": "celsius"}
    )
    usage = Usage(input_tokens=412, output_tokens=23, cost_usd=0.00031)
    asked = user("What is the weather like in Lisbon today, and do I need a coat?")
    return (
        ev.RunStarted(at=1763800000.1, run_id=run_id, session_id="ses_1", input=asked, model="openai:m"),
        ev.ContextHydrated(at=1763800000.2),
        ev.ToolsCalled(at=1763800001.3, parts=(call,), model="m", usage=usage),
        ev.ToolReturned(at=1763800001.4, tool_call_id="call_1", content="21 degrees, sunny"),
        ev.ResultsAccepted(at=1763800001.4),
        ev.ModelAnswered(
            at=1763800002.5, parts=assistant("21 degrees and sun: no coat.").parts, model="m", usage=usage
        ),
        ev.AnswerAccepted(at=1763800002.5),
        ev.OutcomeStored(at=1763800002.6),
    )


async def write_run(journal: SqliteJournal, run_id: str) -> None:
    """One run, in three appends."""
    run = one_tool_run(run_id)
    for start, end in BATCHES:
        await journal.append(run_id, start, run[start:end], writer=WRITER)


async def runs_per_s(folder: Path, concurrency: int, runs: int) -> float:
    """Runs a second with so many at once."""
    async with await SqliteJournal.open(folder / "runs.db") as journal:
        numbers = iter(range(runs))

        async def worker() -> None:
            for number in numbers:
                await write_run(journal, f"run_{number:026x}")

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return runs / (time.perf_counter() - start)


async def append_us(folder: Path, count: int = 400) -> float:
    """The median of a single append, nothing else going on."""
    event = ev.AnswerAccepted(at=1763800002.5)
    times: list[float] = []
    async with await SqliteJournal.open(folder / "runs.db") as journal:
        for seq in range(count):
            start = time.perf_counter()
            await journal.append("run_0", seq, (event,), writer=WRITER)
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


async def disk_us(folder: Path, count: int = 400) -> float:
    """The median of a write of 4 KiB with `fdatasync`: what the disk alone takes."""
    file = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY, 0o600)
    times: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        times.append(time.perf_counter() - start)
    os.close(file)
    return statistics.median(times) * 1e6


async def bytes_per_event(folder: Path, runs: int = 2_000) -> tuple[float, float]:
    """In the file, all included; and as encoded."""
    await runs_per_s(folder, 64, runs)
    run = one_tool_run(f"run_{0:026x}")
    encoded = sum(len(codec.encode(event)) for event in run) / len(run)
    return (folder / "runs.db").stat().st_size / (runs * len(run)), encoded


async def resume_ms(folder: Path, tools: int = 65) -> float:
    """The median of reading and folding a run of about 200 events."""
    started, hydrated, called, returned, accepted, *_ = one_tool_run("run_1")
    run = [started, hydrated, *(event for _ in range(tools) for event in (called, returned, accepted))]
    times: list[float] = []
    async with await SqliteJournal.open(folder / "runs.db") as journal:
        await journal.append("run_1", 0, run, writer=WRITER)
        for _ in range(50):
            start = time.perf_counter()
            replay("run_1", [stored.event async for stored in journal.read("run_1")])
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


async def measure() -> list[Figure]:
    """All figures; each on a fresh file."""
    figures: list[Figure] = []
    peers = {"LangGraph SQLite, 1,000 runs": "10 to 52 s"}

    def add(name: str, value: float, unit: str, target: str = "", **more) -> None:
        figures.append(Figure(name, round(value, 2), unit, target, **more))

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as root:

        def fresh() -> Path:
            return Path(tempfile.mkdtemp(dir=root))

        add("journal.disk.fdatasync.p50", await disk_us(fresh()), "us")
        for concurrency in (64, 1_000):
            rate = await runs_per_s(fresh(), concurrency, 4_000)
            add(f"journal.runs.at_once_{concurrency}", rate, "runs/s", ">= 2,000")
            if concurrency == 64:
                events = len(one_tool_run("run_0"))
                target = ">= 10,000 where fdatasync takes <= 300 us"
                add(
                    "journal.events.at_once_64",
                    rate * events,
                    "events/s",
                    target,
                    peers={"in appends of": "3, 2 and 3"},
                )
        add("journal.runs.1000", 1_000 / rate, "s", "<= 0.5", peers=peers)
        add("journal.runs.at_once_1", await runs_per_s(fresh(), 1, 200), "runs/s")
        add("journal.append.p50", await append_us(fresh()), "us")
        in_file, encoded = await bytes_per_event(fresh())
        add("journal.event.in_file", in_file, "bytes")
        add("journal.event.encoded", encoded, "bytes")
        add("journal.resume_200_events.p50", await resume_ms(fresh()), "ms", "<= 5")
    return figures


if __name__ == "__main__":
    print_figures(asyncio.run(measure()))
