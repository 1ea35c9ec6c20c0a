"""Two thousand worlds, each decided by its seed: no law of the machine breaks in any of them.

More of them: `python -m agent_core.testing.simulation --seeds 100000`.
"""

import pytest

from agent_core.testing.simulation import FAULTS, shrink, simulate

SEEDS = 2_000
GROUP = 100


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_no_law_breaks_whatever_goes_wrong(first):
    broken = [report for seed in range(first, first + GROUP) if (report := simulate(seed)).violations]
    assert not broken, "\n".join(str(shrink(report)) for report in broken[:3])


@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_nor_where_one_thing_goes_wrong_and_nothing_else(fault):
    broken = [
        report for seed in range(40) if (report := simulate(seed, faults={fault} - {"none"})).violations
    ]
    assert not broken, "\n".join(map(str, broken[:3]))
