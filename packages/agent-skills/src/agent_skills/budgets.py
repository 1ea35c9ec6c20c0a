"""What runs have spent on skills, against what the operator allows. In memory: a run that is taken up again starts anew.

The limits of a run that survive a restart are agent_core's (`limits`); these bound what one process does for one run.
"""

import math
import sys
from collections import OrderedDict
from typing import NamedTuple

from agent_skills.policy import Budget

MAX_RUNS = 10_000
"""Runs that are remembered; the one that called longest ago is forgotten first."""
_UNLIMITED = Budget()


class _Spent:
    __slots__ = ("calls", "result_chars", "run_s")

    def __init__(self) -> None:
        self.calls = 0
        self.run_s = 0.0
        self.result_chars = 0

    def exceeds(self, budget: Budget) -> str:
        """What of the budget is used up, in words; empty: nothing."""
        if budget.calls and self.calls >= budget.calls:
            return f"{budget.calls} calls"
        if budget.run_s and self.run_s >= budget.run_s:
            return f"{budget.run_s:g} s"
        if budget.result_chars and self.result_chars >= budget.result_chars:
            return f"{budget.result_chars:,} characters of results"
        return ""


class Left(NamedTuple):
    """What is left of all budgets that bind a call."""

    run_s: float
    result_chars: int


class Ledger:
    """The books of one runner."""

    def __init__(self, per_run: Budget) -> None:
        self._per_run = per_run
        self._runs: OrderedDict[str, dict[str, _Spent]] = OrderedDict()

    def begin(self, run_id: str, skill: str, budget: Budget) -> str:
        """Count a call that is about to be made; what is used up, in words, if it must not be.

        Where nothing is limited, no books are kept.
        """
        if self._per_run == budget == _UNLIMITED:
            return ""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = {"": _Spent()}
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(run_id)
        own = run.setdefault(skill, _Spent())
        if over := run[""].exceeds(self._per_run):
            return f"all tools of this run together may use {over}, and have"
        if over := own.exceeds(budget):
            return f"{skill} may use {over} in one run, and has"
        run[""].calls += 1
        own.calls += 1
        return ""

    def left(self, run_id: str, skill: str, budget: Budget) -> Left:
        """What a call that was begun may still take; of calls side by side, each as if it were alone."""
        run = self._runs.get(run_id, {})
        run_s, result_chars = math.inf, sys.maxsize
        for spent, may in ((run.get(""), self._per_run), (run.get(skill), budget)):
            if spent is not None and may.run_s:
                run_s = min(run_s, may.run_s - spent.run_s)
            if spent is not None and may.result_chars:
                result_chars = min(result_chars, may.result_chars - spent.result_chars)
        return Left(max(run_s, 0.0), max(result_chars, 0))

    def end(self, run_id: str, skill: str, run_s: float, result_chars: int) -> None:
        """Count what a call took."""
        run = self._runs.get(run_id, {})
        for spent in (run.get(""), run.get(skill)):
            if spent is not None:
                spent.run_s += run_s
                spent.result_chars += result_chars
