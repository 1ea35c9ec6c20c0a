"""Every error has a row, and the most specific one is taken."""

from http import HTTPStatus

from agent_api.errors import OpenBindError, RunBusyError
from agent_api.problems import EXIT_NOT_FOUND, EXIT_UNREACHABLE, outcome
from agent_core.errors import AgentError, IllegalEventError, JournalConflictError, RunNotFoundError
from agent_gateway.errors import UnknownModelError, WeightsError


def test_the_most_specific_row_is_taken(tmp_path):
    assert outcome(RunNotFoundError("run_1")).exit_code == EXIT_NOT_FOUND
    assert outcome(WeightsError(tmp_path, "gone", "pull")).exit_code == EXIT_UNREACHABLE
    assert outcome(IllegalEventError("done", "x")).status is HTTPStatus.CONFLICT
    assert outcome(RunBusyError("run_1")).slug == "run-busy"
    assert outcome(UnknownModelError("x", ())).slug == "settings"
    assert outcome(OpenBindError("0.0.0.0")).slug == "open-bind"


def test_an_error_without_a_row_is_a_failure():
    assert outcome(JournalConflictError("run_1", 1, 2)).slug == "failed"
    assert outcome(AgentError("anything")).slug == "failed"
