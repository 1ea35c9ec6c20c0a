"""A process that appends is killed, at several moments: what it was told is kept is there, and no run has a gap."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_core.testing.conformance.journal import a_run, heads, stored
from agent_memory import SqliteJournal

# Each of 8 tasks writes runs in steps of 1, 2 and 2 events, and names on stdout what has been acknowledged.
PROGRAM = """
import asyncio, os, sys
from agent_core.testing.conformance.journal import a_run
from agent_memory import SqliteJournal

async def write(journal: Counting, task) -> None:
    for number in range(1_000_000):
        run_id = f"{sys.argv[2]}-{task}-{number}"
        run = a_run(run_id, text=run_id * 100)
        for start, end in ((0, 1), (1, 3), (3, 5)):
            last = await journal.append(run_id, start, run[start:end], writer="w")
            os.write(1, f"{run_id} {last}\\n".encode())

async def main() -> None:
    async with await SqliteJournal.open(sys.argv[1]) as journal:
        await asyncio.gather(*(write(journal, task) for task in range(8)))

asyncio.run(main())
"""


def kill_after(path: Path, child_name: str, lines: int) -> dict[str, int]:
    """Run the program and kill it soon after so many acknowledgements; returns the last number of each run."""
    acknowledged: dict[str, int] = {}
    command = [sys.executable, "-c", PROGRAM, str(path), child_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        time.sleep(0.0007 * (lines % 7))
        child.kill()
        said += child.stdout.read().splitlines(keepends=True)
    for line in said:
        if line.endswith("\n"):
            run_id, last = line.split()
            acknowledged[run_id] = int(last)
    return acknowledged


@pytest.mark.parametrize("lines", [1, 20, 300, 1_500])
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "runs.db"
    acknowledged = kill_after(path, "first", lines)
    acknowledged |= kill_after(path, "second", lines)  # starts on what the first left behind
    async with await SqliteJournal.open(path) as journal:
        listed = {head.run_id: head.last.seq for head in await heads(journal, limit=1_000_000)}
        assert acknowledged.keys() <= listed.keys()
        for run_id, last_seq in listed.items():
            assert last_seq in {1, 3, 5}, "an append is there whole or not at all"
            assert last_seq >= acknowledged.get(run_id, 0)
            read = await stored(journal, run_id)
            assert [one.seq for one in read] == list(range(1, last_seq + 1))
            assert tuple(one.event for one in read) == a_run(run_id, text=run_id * 100)[:last_seq]
