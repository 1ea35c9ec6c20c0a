"""What happened in a run, in the past tense: the journal's vocabulary.

Rules
- Event types are split until the payload never picks the phase: `transitions.TRANSITIONS` needs the type alone.
- Time (`at`, seconds since the epoch) and ids arrive inside events; nothing here reads a clock.
- A new field has a default; unknown fields are skipped on reading. A tag, once released, is never reused.
"""

from typing import TypeAlias

import msgspec

from agent_core.json_types import JsonObject
from agent_core.limits import Limits
from agent_core.messages import FinishReason, Message, Usage
from agent_core.tools import ToolCall, ToolResult


# `gc=False`, here and on the other words: none of them can be part of a cycle, and with 10,000 runs under way the
# collector's walks over them were a third of the time.
class RunEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event carries."""

    at: float


# ── from idle ────────────────────────────────────────────────────────────────────────────────────────────────────


class RunStarted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="run.started"):
    """A run was created and given its input."""

    run_id: str
    session_id: str
    input: Message
    model: str
    """The model that was asked for, as `provider:name`; `ModelAnswered.model` says which one answered."""
    instructions: str = ""
    limits: Limits = Limits()
    answer_schema: JsonObject | None = None
    """JSON schema (draft 2020-12) of the answer; None: any text will do."""


# ── perceiving ───────────────────────────────────────────────────────────────────────────────────────────────────


class ContextHydrated(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="context.hydrated"):
    """Memory gave what belongs before the input: earlier messages of the session, recalled facts."""

    messages: tuple[Message, ...] = ()


# ── reasoning ────────────────────────────────────────────────────────────────────────────────────────────────────


class ModelAnswered(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="model.answered"):
    """The model gave an answer and called no tool."""

    message: Message
    model: str
    usage: Usage = Usage()
    finish_reason: FinishReason = FinishReason.STOP


class ToolsCalled(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="tools.called"):
    """The model called tools; the calls are parts of its message and independent of each other."""

    message: Message
    model: str
    usage: Usage = Usage()


class PlanProposed(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="plan.proposed"):
    """The model gave a plan: a graph of calls, whose arguments may refer to each other's results."""

    message: Message
    """Holds one call, that of the tool `plan`; in older journals the calls of the plan."""
    model: str
    after: dict[str, tuple[str, ...]]
    """Tool call id -> the ids of the calls that must have succeeded before it, beside those it refers to."""
    usage: Usage = Usage()
    calls: tuple[ToolCall, ...] = ()
    """The calls of the plan, as proposed: with their references."""


class ModelFailed(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="model.failed"):
    """The model refused for good. What may pass (unreachable, overloaded) is not journaled: the run is resumed."""

    code: str
    reason: str


class LimitReached(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="limit.reached"):
    """A limit was reached; the model gets one last turn, without tools, to answer with what it has."""

    limit: str


# ── dispatching ──────────────────────────────────────────────────────────────────────────────────────────────────


class ToolStarted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="tool.started"):
    """The intent to run a tool that is not idempotent; after a crash it may or may not have happened."""

    tool_call_id: str


class ToolReturned(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="tool.returned"):
    """A tool ended well."""

    result: ToolResult


class ToolFailed(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="tool.failed"):
    """A tool failed, timed out, was refused or denied; the result says so in words for the model."""

    result: ToolResult


class ApprovalRequested(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.requested"):
    """Policy asks a person before this call; the approval will hold for these exact arguments."""

    tool_call_id: str
    reason: str


class InputRequested(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="input.requested"):
    """The model asks a person something through a tool call; the reply is the call's result."""

    tool_call_id: str
    question: str


# ── awaiting ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ApprovalGranted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.granted"):
    """A person allowed the call, perhaps with other arguments."""

    tool_call_id: str
    by: str
    arguments: JsonObject | None = None
    """None: the arguments stand as they were shown."""


class ApprovalDenied(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.denied"):
    """A person refused the call; the model reads the reason."""

    tool_call_id: str
    by: str
    reason: str = ""


class InputGiven(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="input.given"):
    """A person replied to the model's question."""

    tool_call_id: str
    by: str
    text: str


# ── reflecting ───────────────────────────────────────────────────────────────────────────────────────────────────


class ResultsAccepted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="results.accepted"):
    """The results count: the model will read them."""

    note: str = ""
    """Why nobody looked closer: what became of the critic."""


class ResultsRetried(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="results.retried"):
    """These calls are made again, unchanged."""

    tool_call_ids: tuple[str, ...]
    reason: str


class ResultsRevised(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="results.revised"):
    """The results go to the model with a reason to think again; what is left of a plan is dropped."""

    reason: str
    tool_call_ids: tuple[str, ...] = ()
    """The calls whose results were rejected."""


class RunEscalated(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="run.escalated"):
    """A person must look at these results before the run goes on; `ApprovalGranted` or `InputGiven` answers."""

    tool_call_id: str
    reason: str


# ── responding ───────────────────────────────────────────────────────────────────────────────────────────────────


class AnswerAccepted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="answer.accepted"):
    """The answer passed its check."""

    note: str = ""
    """Why nobody looked closer: what became of the critic, or that the limit on revisions was reached."""


class AnswerRevised(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="answer.revised"):
    """The answer did not pass; the model reads the reason and answers again."""

    reason: str


class OutcomeStored(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="outcome.stored"):
    """Memory has the outcome: the run is done."""


# ── from any phase that is not an end ────────────────────────────────────────────────────────────────────────────


class RunCancelled(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="run.cancelled"):
    """Somebody ended the run."""

    by: str
    reason: str = ""


class RunFailed(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="run.failed"):
    """The run cannot go on, for a reason that is not the model's."""

    code: str
    reason: str


Event: TypeAlias = (
    RunStarted
    | ContextHydrated
    | ModelAnswered
    | ToolsCalled
    | PlanProposed
    | ModelFailed
    | LimitReached
    | ToolStarted
    | ToolReturned
    | ToolFailed
    | ApprovalRequested
    | InputRequested
    | ApprovalGranted
    | ApprovalDenied
    | InputGiven
    | ResultsAccepted
    | ResultsRetried
    | ResultsRevised
    | RunEscalated
    | AnswerAccepted
    | AnswerRevised
    | OutcomeStored
    | RunCancelled
    | RunFailed
)
"""Every event of the journal, as one tagged union."""

COMMANDS = (ApprovalGranted, ApprovalDenied, InputGiven, RunCancelled)
"""Events that come from outside while a runner drives the run: it reads them in and goes on."""


def event_type(event: Event | type[Event]) -> str:
    """The stable tag of an event or event type, such as `tool.returned`."""
    cls = event if isinstance(event, type) else type(event)
    return str(cls.__struct_config__.tag)
