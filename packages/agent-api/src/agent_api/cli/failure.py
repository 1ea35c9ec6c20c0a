"""What a person is told of an error that ended a command, and the exit code."""

import json
import os
import sys
from typing import NamedTuple, cast

import typer

from agent_api.exit_codes import EXIT_FAILED, EXIT_USAGE
from agent_api.problems import outcome
from agent_core.errors import AgentError

_UsageError = typer.BadParameter.__bases__[0]
"""Whatever is wrong with the words of a command. typer brings its own copy of click, and exports this one's child alone."""


class _Told(NamedTuple):
    type: str
    message: str
    exit_code: int


def explain(error: Exception, *, as_json: bool = False) -> int:
    """One clear line on standard error, and as JSON on standard output where that was asked for; the exit code.

    A fault of ours is raised where AGENT_TRACEBACK is set.
    """
    error = _alone(error)
    told = _told(error)
    if told is None:
        if os.environ.get("AGENT_TRACEBACK"):
            raise error
        told = _Told("fault", f"a fault in agent: {type(error).__name__}: {error}", EXIT_FAILED)
        hint = "  what was journaled is kept: agent runs list. AGENT_TRACEBACK=1 shows where it happened\n"
    else:
        hint = ""
    if as_json:
        sys.stdout.write(json.dumps({"error": told._asdict()}) + "\n")
        sys.stdout.flush()
    is_help = told.message.startswith("Usage:")  # a group of commands without one
    sys.stderr.write(f"{told.message}\n" if is_help else f"error: {told.message}\n{hint}")
    return told.exit_code


def _told(error: Exception) -> _Told | None:
    """What there is to say of an error that is nobody's fault here; None: it is ours."""
    if isinstance(error, AgentError):
        shown = outcome(error)
        return _Told(shown.slug, str(error), shown.exit_code)
    if isinstance(error, _UsageError):
        return _Told("usage", _usage(error), EXIT_USAGE)
    if isinstance(error, OSError) and error.filename:
        message = f"{error.filename} cannot be used: {error.strerror}; check the path and its permissions"
        return _Told("storage", message, EXIT_FAILED)
    return None


def _usage(error: Exception) -> str:
    said = cast("typer.BadParameter", error)
    message = said.format_message()
    if said.ctx is None or message.startswith("Usage:"):
        return message.rstrip()
    return f"{message.rstrip('.')}; see `{said.ctx.command_path} --help`"


def _alone(error: Exception) -> Exception:
    """What a task group that failed for one reason raised."""
    if not isinstance(error, ExceptionGroup):
        return error
    group = cast("ExceptionGroup[Exception]", error)
    return _alone(group.exceptions[0]) if len(group.exceptions) == 1 else group
