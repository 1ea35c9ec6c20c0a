"""How every benchmark speaks: one JSON object a figure, or a table for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured number beside its target and what peers reach."""

    name: str
    value: float
    unit: str
    target: str = ""
    peers: Mapping[str, object] = field(default_factory=dict)


def print_figures(figures: Sequence[Figure]) -> None:
    """One JSON object a line with `--json`, else a table."""
    if "--json" in sys.argv[1:]:
        for one in figures:
            print(json.dumps(asdict(one)))
        return
    for one in figures:
        peers = ", ".join(f"{name} {value}" for name, value in one.peers.items())
        print(f"{one.name:<40} {one.value:>12,.3f} {one.unit:<12} target {one.target:<12} {peers}")
