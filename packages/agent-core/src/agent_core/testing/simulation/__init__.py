"""Deterministic simulation: whole worlds of runs, processes, people and faults, each decided by one seed.

Every world drives real runs through a real `Runner`, in virtual time: processes die at any await and around any append,
two of them drive the same run, people approve, edit, deny and cancel at any moment and twice, tools hang, models fail,
storage is full. At the end, and all along, the laws of the machine (`LAWS`) are checked. A world takes a few
milliseconds, and one seed always gives the same history.

    report = simulate(seed=7, parts=Parts(journal=MyJournal))
    assert not report.violations, report

As a command: `python -m agent_core.testing.simulation --seeds 100000`.
"""

from agent_core.testing.simulation.laws import LAWS
from agent_core.testing.simulation.report import Report, shrink, simulate
from agent_core.testing.simulation.scenario import FAULTS, Scenario
from agent_core.testing.simulation.witness import Violation
from agent_core.testing.simulation.world import Parts

__all__ = [
    "FAULTS",
    "LAWS",
    "Parts",
    "Report",
    "Scenario",
    "Violation",
    "shrink",
    "simulate",
]
