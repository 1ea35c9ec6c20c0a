"""Ours and the peers measured in turn, so that what else the machine does hits all: ours, peer 1, ours, peer 2, ...

A peer's ratio is taken to the measurements of ours just before it, as many as its own.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from peers.environments import EQUIPPED, OURS, PEERS, Environments, NotMeasuredError

MEASUREMENTS: Sequence[Sequence[str]] = (
    ("run",),
    ("run",),  # twice: the headline
    ("steps",),
    ("many", "1000"),
    ("import",),
)
EQUIPPED_RUN = "equipped_run_us"
"""A run of the peers that have a history, a policy and an observer of their own; `run_us` is that of the bare ones."""
AFFORDABLE_CPU_S = 2.0
"""A peer that spends less on 1,000 runs at once is measured with 10,000; of others ten times their value is shown."""

Samples = Mapping[str, Sequence[float]]


@dataclass
class Comparison:
    """What was measured: by figure, for each peer its samples and those of ours beside them."""

    theirs: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    ours: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    missing: dict[str, str] = field(default_factory=dict)

    def our(self, figure: str) -> float:
        """Our value: the median over what was measured beside each peer."""
        return statistics.median(min(samples) for samples in self.ours[figure].values())

    def values(self, figure: str) -> dict[str, object]:
        """The peers' values, the reason in the place of one that could not be measured."""
        found = {name: round(min(samples), 3) for name, samples in self.theirs[figure].items()}
        for name, samples in self.theirs[figure.replace("many_10000", "many_1000")].items():
            if name not in found:
                found[f"{name} (10 times 1,000 runs)"] = round(10 * min(samples), 3)
        for name, reason in self.missing.items():
            peer = name.removesuffix(EQUIPPED)
            if peer not in found and (figure == EQUIPPED_RUN or peer == name):
                found[peer] = f"not measured: {reason}"
        return found

    def best_ratio(self, figure: str) -> tuple[float, dict[str, object]]:
        """The smallest of the peers' values divided by ours, and each one's."""
        ratios = {
            name: min(samples) / min(self.ours[figure][name]) for name, samples in self.theirs[figure].items()
        }
        shown = {name: round(ratio, 2) for name, ratio in ratios.items()}
        return min(ratios.values(), default=0.0), shown

    def add(self, name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
        """One process of each."""
        peer = name.removesuffix(EQUIPPED)
        for figure, value in theirs.items():
            shown = figure if peer == name else EQUIPPED_RUN
            self.theirs[shown][peer].append(value)
            self.ours[shown][peer].append(ours[figure])


def compare() -> Comparison:
    """Measure everything; minutes."""
    found = Comparison()
    with Environments(PEERS) as environments:

        def beside(name: str, what: Sequence[str]) -> None:
            if name in environments.missing:
                return
            ours = environments.measure(OURS, *what)
            try:
                theirs = environments.measure(name, *what)
            except NotMeasuredError:
                return
            found.add(name, ours, theirs)

        for what in MEASUREMENTS:
            for name in PEERS:
                beside(name, what)
                if what == ("run",):
                    beside(f"{name}{EQUIPPED}", what)
        for name, samples in list(found.theirs["many_1000_cpu_s"].items()):
            if min(samples) <= AFFORDABLE_CPU_S:
                beside(name, ("many", "10000"))
        found.missing = environments.missing
    return found
