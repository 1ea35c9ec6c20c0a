"""Every benchmark, one after the other, and what they found as one page of tables: ours, the target, and the peers beside.

    uv run python bench/table.py [NAME ...] [--json] [--results FOLDER] [--page FILE]

NAME: some of the benchmarks instead of all, which take about half an hour on a machine that does nothing else; peers install
themselves into environments of their own the first time. What a benchmark found is kept in FOLDER (`bench/results`) as soon as
it has ended, and not measured again: a run that was interrupted goes on where it was, and deleting a file measures anew.
FILE is written with all that is in FOLDER (`docs/reference/benchmarks.md` holds such a page).
"""

import argparse
import json
import math
import operator
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from figures import Figure

HERE = Path(__file__).parent
RESULTS = HERE / "results"
HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


class Benchmark(NamedTuple):
    """A script of this folder, and how it is called."""

    name: str
    title: str
    arguments: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    """Packages that peers of it need in its own environment."""


BENCHMARKS = (
    Benchmark("core", "The machine (agent-core)", ("--peers",)),
    Benchmark("journal", "The journal on SQLite (agent-memory)"),
    Benchmark("gateway", "A call of a model (agent-gateway)"),
    Benchmark("router", "Routing a call (agent-gateway)", ("--peers",)),
    Benchmark("memory", "What memory finds (agent-memory)", ("--peers",), ("bm25s", "langgraph-checkpoint")),
    Benchmark("knowledge", "What knowledge bases find (agent-memory)", ("--peers",), ("bm25s",)),
    # Its peers build their indexes of a million vectors for half an hour.
    Benchmark("vectors", "Knowledge bases at size (agent-memory)"),
    Benchmark("long_term", "Long-term memory (agent-memory)"),
    Benchmark("skills", "A call of a tool (agent-skills)", ("--peers",)),
    Benchmark("tool_search", "Finding a tool (agent-skills)"),
    Benchmark("mcp", "MCP (agent-skills)"),
    Benchmark("hijacks", "Hijacks through the policy (agent-core)"),
    Benchmark("api", "The daemon (agent-api)"),
)


def main() -> int:
    """Measure what is missing; 1: a benchmark failed, and its last words were shown."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("names", nargs="*", metavar="NAME", help=", ".join(one.name for one in BENCHMARKS))
    reader.add_argument("--json", action="store_true", help="print every figure as a JSON object, one a line")
    reader.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    reader.add_argument("--page", type=Path, metavar="FILE")
    given = reader.parse_args()
    if unknown := set(given.names) - {one.name for one in BENCHMARKS}:
        reader.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    wanted = [one for one in BENCHMARKS if not given.names or one.name in given.names]
    given.results.mkdir(parents=True, exist_ok=True)
    failed = [one.name for one in wanted if not measure(one, given.results)]
    if given.page:
        given.page.write_text(page(given.results))
    for one in wanted if given.json else ():
        for figure in read(given.results, one):
            print(msgspec.json.encode(figure).decode())
    if failed:
        print(f"failed: {', '.join(failed)}; call this again to measure them alone", file=sys.stderr)
    return bool(failed)


def measure(benchmark: Benchmark, results: Path) -> bool:
    """Whether there are figures of a benchmark now; nothing is measured where there were."""
    kept = results / f"{benchmark.name}.jsonl"
    if kept.exists():
        print(f"{benchmark.name}: kept from before", file=sys.stderr)
        return True
    print(f"{benchmark.name}: measuring ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    script = [str(HERE / f"{benchmark.name}.py"), "--json", *benchmark.arguments]
    python = [sys.executable]
    if benchmark.beside:
        python = ["uv", "run", *(f"--with={name}" for name in benchmark.beside), "python"]
    done = subprocess.run([*python, *script], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{benchmark.name}: failed\n{done.stderr.strip()[-2_000:]}", file=sys.stderr)
        return False
    part = kept.with_suffix(".part")
    part.write_text(done.stdout)
    part.replace(kept)
    figures = read(results, benchmark)
    missed = ", ".join(one.name for one in figures if not is_met(one))
    took = f"{len(figures)} figures in {time.monotonic() - began:.0f} s"
    print(f"{benchmark.name}: {took}" + (f"; missed: {missed}" if missed else ""), file=sys.stderr)
    return True


def read(results: Path, benchmark: Benchmark) -> Sequence[Figure]:
    """The figures that are kept of a benchmark."""
    kept = results / f"{benchmark.name}.jsonl"
    if not kept.exists():
        return ()
    return [Figure(**json.loads(line)) for line in kept.read_text().splitlines() if line.startswith("{")]


def is_met(figure: Figure) -> bool:
    """Whether a figure reaches its target; one without a target does, and one whose target is words."""
    found = re.fullmatch(r"([<>]?=?) *([\d.]+)", figure.target)
    return found is None or HOLDS[found[1]](figure.value, float(found[2]))


def page(results: Path) -> str:
    """All that is kept, as Markdown."""
    known = [(one, read(results, one)) for one in BENCHMARKS]
    times = [(results / f"{one.name}.jsonl").stat().st_mtime for one, figures in known if figures]
    days = sorted({datetime.fromtimestamp(at, UTC).date().isoformat() for at in times})
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# Benchmarks",
        "",
        "Written by `uv run python bench/table.py --page docs/reference/benchmarks.md`, which measures everything below on your machine.",
        "",
        f"Measured {' to '.join(days)}: {cores} shared cores of a virtual machine, CPython {platform.python_version()}, peers in the",
        "same run, in environments of their own. Ratios say more than times: where times are of a wall clock, waking a thread or a",
        "process on an idle machine is much of them. Names are as each `bench/*.py` prints them; its docstring says what is",
        "measured and how. **Bold** is a target that was missed.",
    ]
    for benchmark, figures in known:
        if figures:
            command = " ".join(["bench/" + benchmark.name + ".py", *benchmark.arguments])
            lines += ["", f"## {benchmark.title}", "", f"`{command}`", "", *rows(figures)]
    return "\n".join(lines) + "\n"


def rows(figures: Sequence[Figure]) -> Iterator[str]:
    """A table of figures; those that have neither target nor peers are context, and stay with the benchmark."""
    yield "| figure | ours | target | peers |"
    yield "|---|---|---|---|"
    for one in figures:
        if one.target or one.peers:
            ours = f"{short(one.value)} {one.unit}".strip()
            shown = ours if is_met(one) else f"**{ours}**"
            peers = ", ".join(f"{name} {short(value)}" for name, value in one.peers.items())
            yield f"| {one.name} | {shown} | {one.target} | {peers} |".replace("  ", " ")


def short(value: object) -> str:
    """A number in three significant digits, or words as they are."""
    if not isinstance(value, int | float):
        return str(value)
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, digits):,.{max(0, digits)}f}"


if __name__ == "__main__":
    sys.exit(main())
