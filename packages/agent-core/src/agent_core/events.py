"""What happened in a run, in the past tense: the journal's vocabulary.

Rules
- Event types are split until the payload never picks the phase: `transitions.TRANSITIONS` needs the type alone.
- Time (`at`, seconds since the epoch) and ids arrive inside events; nothing here reads a clock.
- A new field has a default. A tag, once released, is never reused. `codec` keeps what a newer version wrote.
- A journal is written far more often than it is read: what can be told from the events before is left out.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from agent_core.json_types import JsonObject
from agent_core.limits import Limits, Spent
from agent_core.media import Attachment
from agent_core.messages import FinishReason, Message, Part, Usage
from agent_core.tools import FieldLabel, Label, ToolCall, ToolResult


# `gc=False`, here and on the other words: none of them can be part of a cycle, and with 10,000 runs under way the
# collector's walks over them were a third of the time.
class RunEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event carries."""

    at: float = 0.0
    """Seconds since the epoch. 0 in a verdict by rule: it follows at once from the event before, at the same time."""
    unknown: JsonObject | None = None
    """The fields that a newer version wrote, for `codec.encode` to write them again; None: there are none."""


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
    parent_id: str = ""
    """The run that delegated this one; empty: a person started it."""
    agent: str = ""
    """The sub-agent that the run is of, as a path such as `researcher/reader`; empty: none."""
    read_before: tuple[Label, ...] = ()
    """What the run that delegated this one had read, by its labels: it may all be in the input."""


# ── perceiving ───────────────────────────────────────────────────────────────────────────────────────────────────


class ContextHydrated(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="context.hydrated"):
    """Memory gave what belongs before the input: earlier messages of the session, recalled facts."""

    messages: tuple[Message, ...] = ()


# ── reasoning ────────────────────────────────────────────────────────────────────────────────────────────────────


class ModelTurn(RunEvent, frozen=True, kw_only=True, omit_defaults=True):
    """What every turn of the model carries."""

    parts: tuple[Part, ...]
    """What the model said, in its order."""
    model: str = ""
    """The model that answered, as its provider names it; empty: the same as the turn before."""
    usage: Usage = Usage()

    @property
    def message(self) -> Message:
        """The model's message."""
        return Message(role="assistant", parts=self.parts)


class ModelAnswered(ModelTurn, frozen=True, kw_only=True, omit_defaults=True, tag="model.answered"):
    """The model gave an answer and called no tool."""

    finish_reason: FinishReason = FinishReason.STOP


class ToolsCalled(ModelTurn, frozen=True, kw_only=True, omit_defaults=True, tag="tools.called"):
    """The model called tools; the calls are among its parts and independent of each other."""


class PlanProposed(ModelTurn, frozen=True, kw_only=True, omit_defaults=True, tag="plan.proposed"):
    """The model gave a plan: a graph of calls, whose arguments may refer to each other's results.

    Its parts hold one call, that of the tool `plan`; in the oldest journals the calls of the plan.
    """

    after: dict[str, tuple[str, ...]]
    """Tool call id -> the ids of the calls that must have succeeded before it, beside those it refers to."""
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

    tool_call_id: str = msgspec.field(name="call")


class RunDelegated(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="run.delegated"):
    """A sub-agent was called: the call is performed as a run of its own, which may not exist yet."""

    tool_call_id: str = msgspec.field(name="call")
    run_id: str


class ToolBack(RunEvent, frozen=True, kw_only=True, omit_defaults=True):
    """What came back of a call; the fields are those of `ToolResult`."""

    tool_call_id: str = msgspec.field(name="call")
    content: str
    error: str = ""
    retryable: bool = False
    labels: tuple[Label, ...] = ()
    fields: Mapping[str, FieldLabel] = {}
    attachments: tuple[Attachment, ...] = ()
    spent: Spent | None = None
    """What the run spent that was delegated to, or the calls that it made from within; None: nothing of either."""

    @property
    def result(self) -> ToolResult:
        """The result, as the model will read it."""
        return ToolResult(
            tool_call_id=self.tool_call_id,
            content=self.content,
            error=self.error,
            retryable=self.retryable,
            labels=self.labels,
            fields=self.fields,
            attachments=self.attachments,
        )


class ToolReturned(ToolBack, frozen=True, kw_only=True, omit_defaults=True, tag="tool.returned"):
    """A tool ended well."""


class ToolFailed(ToolBack, frozen=True, kw_only=True, omit_defaults=True, tag="tool.failed"):
    """A tool failed, timed out, was refused or denied; the content says so in words for the model."""


def tool_back(result: ToolResult, *, at: float, spent: Spent | None = None) -> ToolReturned | ToolFailed:
    """The event that records `result`."""
    kind = ToolFailed if result.error else ToolReturned
    return kind(
        at=at,
        tool_call_id=result.tool_call_id,
        content=result.content,
        error=result.error,
        retryable=result.retryable,
        labels=result.labels,
        fields=result.fields,
        attachments=result.attachments,
        spent=spent,
    )


class ApprovalRequested(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.requested"):
    """Policy asks a person before this call; the approval will hold for these exact arguments."""

    tool_call_id: str = msgspec.field(name="call")
    reason: str


class InputRequested(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="input.requested"):
    """The model asks a person something through a tool call; the reply is the call's result."""

    tool_call_id: str = msgspec.field(name="call")
    question: str


# ── awaiting ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ApprovalGranted(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.granted"):
    """A person allowed the call, perhaps with other arguments."""

    tool_call_id: str = msgspec.field(name="call")
    by: str
    arguments: JsonObject | None = None
    """None: the arguments stand as they were shown."""


class ApprovalDenied(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="approval.denied"):
    """A person refused the call; the model reads the reason."""

    tool_call_id: str = msgspec.field(name="call")
    by: str
    reason: str = ""


class InputGiven(RunEvent, frozen=True, kw_only=True, omit_defaults=True, tag="input.given"):
    """A person replied to the model's question."""

    tool_call_id: str = msgspec.field(name="call")
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

    tool_call_id: str = msgspec.field(name="call")
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
    | RunDelegated
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
