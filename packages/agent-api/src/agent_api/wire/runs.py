"""A run as JSON: as a whole, and as a line of a list."""

from typing import Annotated, Literal

import msgspec

from agent_core.limits import Limits
from agent_core.messages import Usage
from agent_core.state import Phase, RunState


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/runs`."""

    prompt: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S", description="What to do.")]
    session_id: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^/\x00-\x1f\x7f]*$")] = ""
    """Runs of one session know what was said before. Empty: a new session."""
    instructions: str = ""
    """Empty: those of the settings."""
    limits: Limits | None = None


class ForkRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/runs/{id}/fork`."""

    at_seq: Annotated[
        int, msgspec.Meta(ge=1, description="The number of the last event that both runs share.")
    ]
    prompt: str | None = None
    """Another prompt, where the model has not read the first one yet."""


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/runs/{id}/cancel`."""

    reason: str = ""


class Decide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/runs/{id}/decisions`: a person's word on a call that waits for it."""

    tool_call_id: str
    decision: Literal["allow", "deny", "reply"]
    arguments: dict[str, object] | None = None
    """With `allow`: other arguments than were shown."""
    text: str = ""
    """With `deny` the reason, with `reply` the answer to the question; the model reads it."""
    seq: int | None = None
    """The run's `seq` as it was seen: what it asked later is not decided on. None: as it asked about this call first."""


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the runs, the newest first."""

    items: tuple["RunView", ...]
    next_cursor: str | None
    """To be sent as `cursor` for what comes behind; None: nothing does."""


class RunDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Where two runs part."""

    common: int
    """How many events they begin with in common."""
    left: tuple[dict[str, object], ...]
    """The events of the first behind that."""
    right: tuple[dict[str, object], ...]


class PendingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits for a person."""

    tool_call_id: str
    name: str
    arguments: dict[str, object]
    question: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run."""

    run_id: str
    session_id: str
    status: Literal["running", "interrupted", "waiting", "done", "failed", "cancelled"]
    """`interrupted`: nobody drives it now; `agent runs resume` does."""
    phase: Phase
    seq: int
    model: str
    prompt: str
    answer: str
    error: str
    limit_reached: str
    usage: Usage
    turns: int
    tool_calls: int
    started_at: float
    updated_at: float
    pending: tuple[PendingDecision, ...] = ()


def run_view(state: RunState, *, driven: bool, trouble: str = "") -> RunView:
    """The view of a run.

    Args:
        state: The run.
        driven: Whether somebody drives it at this moment.
        trouble: Why it was interrupted, where that is known.
    """
    return RunView(
        run_id=state.run_id,
        session_id=state.session_id,
        status=_status(state, driven=driven),
        phase=state.phase,
        seq=state.seq,
        model=state.model,
        prompt=state.input.text if state.input else "",
        answer=state.answer if state.phase is Phase.DONE else "",
        error=state.error or trouble,
        limit_reached=state.limit_reached,
        usage=state.usage,
        turns=state.spent.turns,
        tool_calls=state.spent.tool_calls,
        started_at=state.started_at,
        updated_at=state.updated_at,
        pending=tuple(
            PendingDecision(
                tool_call_id=call.call.tool_call_id,
                name=call.call.name,
                arguments=dict(call.call.arguments),
                question=call.question,
            )
            for call in state.calls.values()
            if call.question and state.phase is Phase.AWAITING
        ),
    )


def _status(
    state: RunState, *, driven: bool
) -> Literal["running", "interrupted", "waiting", "done", "failed", "cancelled"]:
    match state.phase:
        case Phase.DONE:
            return "done"
        case Phase.FAILED:
            return "failed"
        case Phase.CANCELLED:
            return "cancelled"
        case Phase.AWAITING:
            return "waiting"
        case _:
            return "running" if driven else "interrupted"
