"""The command: `python -m agent_core.testing.simulation --seeds 100000`. Exits with 1 where a law was broken.

Seeds are lived through by as many processes as there are cores. A run that was cut off goes on with `--first`: the last
line of progress names the seed. With `--json` there is one JSON object a line: each broken seed, then the summary.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import msgspec

from agent_core.testing.simulation.report import Report, shrink, simulate
from agent_core.testing.simulation.scenario import FAULTS

GROUP = 100
"""Seeds that a process lives through before it says so."""
PROGRESS_EVERY_S = 10.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a group of seeds."""

    first: int
    seeds: int
    counts: dict[str, int]
    virtual_s: float
    broken: tuple[Report, ...]


def live(first: int, seeds: int, faults: tuple[str, ...] = FAULTS) -> Group:
    """Live through `seeds` worlds; those in which a law breaks are shrunk to the faults that it takes."""
    counts: Counter[str] = Counter()
    broken: list[Report] = []
    virtual_s = 0.0
    for seed in range(first, first + seeds):
        report = simulate(seed, faults=faults)
        counts.update(report.counts)
        virtual_s += report.virtual_s
        if report.violations:
            broken.append(shrink(report))
    return Group(first=first, seeds=seeds, counts=counts, virtual_s=virtual_s, broken=tuple(broken))


def _groups(first: int, seeds: int, faults: tuple[str, ...], processes: int) -> Iterator[Group]:
    begins = range(first, first + seeds, GROUP)
    sizes = [min(GROUP, first + seeds - begin) for begin in begins]
    if processes == 1:
        yield from (live(begin, size, faults) for begin, size in zip(begins, sizes, strict=True))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(live, begins, sizes, [faults] * len(sizes))


def _print(as_json: bool, record: dict[str, object], text: str) -> None:
    sys.stdout.write((msgspec.json.encode(record).decode() if as_json else text) + "\n")
    sys.stdout.flush()


def run(groups: Iterable[Group], *, seeds: int, as_json: bool) -> bool:
    """Print what comes of the groups; returns whether a law was broken."""
    began = said = time.monotonic()
    counts: Counter[str] = Counter()
    lived, virtual_s, broken = 0, 0.0, 0
    for group in groups:
        lived, virtual_s = lived + group.seeds, virtual_s + group.virtual_s
        counts.update(group.counts)
        for report in group.broken:
            broken += 1
            _print(as_json, {"broken": report}, str(report))
        if time.monotonic() - said > PROGRESS_EVERY_S:
            said = time.monotonic()
            sys.stderr.write(
                f"{lived} of {seeds} seeds, {broken} broken; next: --first {group.first + group.seeds}\n"
            )
    wall_s, days = time.monotonic() - began, virtual_s / 86_400
    summary = {
        "seeds": lived,
        "broken": broken,
        "wall_s": wall_s,
        "virtual_days": days,
        "counts": dict(counts),
    }
    happened = "\n".join(f"  {name}: {often:,}" for name, often in sorted(counts.items()))
    text = (
        f"{lived:,} seeds, {broken} broken, {wall_s:.1f} s for {days:,.0f} days of virtual time\n{happened}"
    )
    _print(as_json, {"summary": summary}, text)
    return bool(broken)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m agent_core.testing.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many worlds (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument(
        "--faults", default=",".join(FAULTS), help="what may go wrong, or `none` (default: all)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one a core")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--trace", action="store_true", help="print what happens, seed by seed")
    given = parser.parse_args(arguments)
    faults = tuple(name for name in given.faults.split(",") if name != "none")
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"no faults of that name: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    if given.trace:
        return max(_traced(seed, faults) for seed in range(given.first, given.first + given.seeds))
    groups = _groups(given.first, given.seeds, faults, given.processes)
    return int(run(groups, seeds=given.seeds, as_json=given.json))


def _traced(seed: int, faults: tuple[str, ...]) -> int:
    report = simulate(seed, faults=faults, trace=True)
    for at_s, kind, *details in report.trace:
        sys.stdout.write(f"{at_s:>14} {kind:<28} {' '.join(map(str, details))}\n")
    if report.violations:
        sys.stdout.write(f"{report}\n")
    return int(bool(report.violations))


if __name__ == "__main__":
    sys.exit(main())
