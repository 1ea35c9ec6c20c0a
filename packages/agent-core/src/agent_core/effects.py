"""What a run is waiting for, in the imperative. Effects are derived by `transitions.owed` and never journaled."""

from typing import TypeAlias

import msgspec


class HydrateContext(msgspec.Struct, frozen=True, gc=False):
    """Ask memory for what belongs before the input."""


class AskModel(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Ask the model. `final`: a limit was reached, so it is offered no tools."""

    turn: int
    final: bool


class ConcludeAtLimit(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Record that a limit was reached."""

    limit: str


class ExecuteTool(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Run one tool call."""

    tool_call_id: str
    attempt: int
    """1 for the first time."""
    approved: bool
    """True: a person allowed exactly these arguments."""
    interrupted: bool
    """True: an intent was journaled and no result; it may have happened."""


class AwaitRun(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Drive the run that a call was delegated to, and take what comes of it as the result."""

    tool_call_id: str
    run_id: str


class AwaitDecision(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Wait for a person. No runner performs this: the run sleeps until a command arrives."""

    tool_call_id: str


class JudgeResults(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Give a verdict on the results that came back."""

    turn: int
    attempts: int
    """Sum of the attempts of all calls, so that a retried judgement differs from the one before."""


class CheckAnswer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Check the answer that stands."""

    turn: int


class StoreOutcome(msgspec.Struct, frozen=True, gc=False):
    """Hand the outcome to memory."""


Effect: TypeAlias = (
    HydrateContext
    | AskModel
    | ConcludeAtLimit
    | ExecuteTool
    | AwaitRun
    | AwaitDecision
    | JudgeResults
    | CheckAnswer
    | StoreOutcome
)
"""Everything that a run can owe."""
