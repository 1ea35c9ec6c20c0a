"""The same measurements for every framework: what a run, a step, many runs at once and the import cost.

    python -P measure.py FILE AGENT run|steps|many|import [COUNT]

prints one JSON object. FILE names a file beside this one whose `AGENTS` maps a name to a function of a `Script`, which
builds an agent and returns how to run it once. `-P`, because those files are named after the packages they import.

The work is the same for all: a person asks, the scripted model calls `add(a, b)` one call a turn until the sum is what
the script wants, reading nothing but the last message, and answers. A run that ends otherwise fails the measurement.
"""

import asyncio
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sized
from pathlib import Path

PROMPT = "Count."
ANSWER = "Counted."
RUNS, ROUNDS = 200, 5
SHORT, LONG = 10, 200
LONG_CPU_S = 4.0

Run = Callable[[], Awaitable[str]]


class Script:
    """What the model says. `together` runs wait for each other at their first question, so that all are under way."""

    def __init__(self) -> None:
        self.calls = 1
        self.gather(1)

    def gather(self, together: int) -> None:
        """Let the next runs wait until there are so many."""
        self._missing = together
        self._all_here = asyncio.Event()

    async def reply(self, last: str) -> dict[str, int] | None:
        """The arguments of the next call of `add`; None: answer. `last` is the text of the last message."""
        if not last.isdigit():
            self._missing -= 1
            if self._missing <= 0:
                self._all_here.set()
            await self._all_here.wait()
            return {"a": 0, "b": 1}
        return {"a": int(last), "b": 1} if int(last) < self.calls else None


class Watch:
    """What an agent with its own history, policy and observer calls; a run that did without one fails."""

    def __init__(self) -> None:
        self._asked = self._seen = 0

    def allows(self, tool: str) -> bool:
        """The policy: whether a tool may be called."""
        self._asked += 1
        return tool == "add"

    def see(self, *_: object) -> None:
        """The observer: something happened."""
        self._seen += 1

    def check(self, history: Sized) -> None:
        """After a run: it asked, told and kept at least question, call, result and answer."""
        if not self._asked or self._seen < 2 or len(history) < 4:
            raise SystemExit(f"asked {self._asked} times, told {self._seen} times, {len(history)} kept")
        self._asked = self._seen = 0


async def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


async def cpu_s(run: Run, runs: int) -> float:
    """CPU seconds of so many runs, one after the other, helper threads included."""
    gc.collect()
    started = time.process_time()
    for _ in range(runs):
        if await run() != ANSWER:
            raise SystemExit("a run did not end with the answer")
    return time.process_time() - started


async def measure_run(run: Run, script: Script) -> dict[str, float]:
    """CPU microseconds of a run with one tool call: the best of several rounds, after a warm-up."""
    script.calls = 1
    await cpu_s(run, 20)
    rounds = [await cpu_s(run, RUNS) for _ in range(ROUNDS)]
    return {"run_us": min(rounds) / RUNS * 1e6}


async def measure_steps(run: Run, script: Script) -> dict[str, float]:
    """CPU microseconds a tool call, in runs with few and with many of them; the long ones within some CPU seconds."""
    script.calls = SHORT
    await cpu_s(run, 2)
    short = min([await cpu_s(run, 20) / 20 for _ in range(3)])
    script.calls = LONG
    long = [await cpu_s(run, 1)]
    while sum(long) < LONG_CPU_S and len(long) < 2 * ROUNDS:
        long.append(await cpu_s(run, 1))
    return {"step_10_us": short / SHORT * 1e6, "step_200_us": min(long) / LONG * 1e6}


def memory_mb(field: str) -> float:
    """A size of this process as the kernel counts it: `VmRSS` now, `VmHWM` at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    """`VmHWM` starts anew from what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


async def measure_many(run: Run, script: Script, count: int) -> dict[str, float]:
    """CPU seconds and growth of the peak memory in MB while `count` runs with one tool call are under way at once."""
    script.calls = 1
    await cpu_s(run, 20)
    script.gather(count)
    gc.collect()
    before = memory_mb("VmRSS")
    forget_peak()
    started = time.process_time()
    answers = await asyncio.gather(*(run() for _ in range(count)))
    spent = time.process_time() - started
    if set(answers) != {ANSWER}:
        raise SystemExit("a run did not end with the answer")
    return {f"many_{count}_cpu_s": spent, f"many_{count}_mb": memory_mb("VmHWM") - before}


def load(file: str):
    """The module in `file`, beside this one."""
    spec = importlib.util.spec_from_file_location(f"peer_{file}", Path(__file__).with_name(f"{file}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def measure_import(file: str, agent: str) -> dict[str, float]:
    """CPU milliseconds of importing what one agent with one tool needs and building it, bytecode cached; memory then.

    In fresh processes, the best of several. Building counts because some frameworks import only then.
    """
    code = (
        "import json, sys, time, importlib.util\n"
        "spec = importlib.util.spec_from_file_location('measure', sys.argv[1])\n"
        "measure = sys.modules['measure'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(measure)\n"  # its own imports, asyncio among them, are nobody's cost
        "started = time.process_time()\n"
        "measure.load(sys.argv[2]).AGENTS[sys.argv[3]](measure.Script())\n"
        "spent = (time.process_time() - started) * 1e3\n"
        "print(json.dumps({'import_ms': spent, 'import_mb': measure.memory_mb('VmRSS')}))\n"
    )
    command = [sys.executable, "-P", "-c", code, __file__, file, agent]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    outputs = [
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1]
        for _ in range(6)
    ]
    found = [json.loads(line) for line in outputs[1:]]
    return {key: min(one[key] for one in found) for key in ("import_ms", "import_mb")}


def main() -> None:
    file, agent, what, *rest = sys.argv[1:]
    if what == "import":
        print(json.dumps(measure_import(file, agent)))
        return
    sys.modules["measure"] = sys.modules["__main__"]
    script = Script()
    run = load(file).AGENTS[agent](script)
    match what:
        case "run":
            figures = asyncio.run(measure_run(run, script))
        case "steps":
            figures = asyncio.run(measure_steps(run, script))
        case _:
            figures = asyncio.run(measure_many(run, script, int(rest[0])))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
