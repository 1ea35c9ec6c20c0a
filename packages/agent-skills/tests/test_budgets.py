"""The books of what runs spend on skills. What budgets do to calls is in `test_runner`."""

from agent_skills.budgets import MAX_RUNS, Ledger
from agent_skills.policy import Budget


def runs_kept(ledger: Ledger) -> int:
    return len(ledger._runs)  # what it holds is the point


def test_where_nothing_is_limited_no_books_are_kept() -> None:
    ledger = Ledger(Budget())
    for run in range(100):
        assert ledger.begin(f"run_{run}", "skill", Budget()) == ""
        ledger.end(f"run_{run}", "skill", 1.0, 10)
    assert runs_kept(ledger) == 0
    assert ledger.begin("run_0", "other", Budget(calls=1)) == ""
    assert ledger.begin("run_0", "other", Budget(calls=1)) == "other may use 1 calls in one run, and has"


def test_the_run_that_called_longest_ago_is_forgotten() -> None:
    ledger = Ledger(Budget(calls=1))
    for run in range(MAX_RUNS + 1):
        assert ledger.begin(f"run_{run}", "skill", Budget()) == ""
    assert runs_kept(ledger) == MAX_RUNS
    assert ledger.begin(f"run_{MAX_RUNS}", "skill", Budget()) != "", "it is known"
    assert ledger.begin("run_0", "skill", Budget()) == "", "it is not"
