"""What a person is told of an error that ended a command, and the exit code."""

import os
import sys
from typing import cast

from agent_api.exit_codes import EXIT_FAILED
from agent_api.problems import outcome
from agent_core.errors import AgentError


def explain(error: Exception) -> int:
    """One clear line on standard error; the exit code. A fault of ours is raised where AGENT_TRACEBACK is set."""
    error = _alone(error)
    if isinstance(error, AgentError):
        sys.stderr.write(f"error: {error}\n")
        return outcome(error).exit_code
    if os.environ.get("AGENT_TRACEBACK"):
        raise error
    sys.stderr.write(
        f"error: a fault in agent: {type(error).__name__}: {error}\n"
        "  what was journaled is kept: agent runs list. AGENT_TRACEBACK=1 shows where it happened\n"
    )
    return EXIT_FAILED


def _alone(error: Exception) -> Exception:
    """What a task group that failed for one reason raised."""
    if not isinstance(error, ExceptionGroup):
        return error
    group = cast("ExceptionGroup[Exception]", error)
    return _alone(group.exceptions[0]) if len(group.exceptions) == 1 else group
