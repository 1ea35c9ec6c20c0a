"""A sans-IO agent machine: one transition table, a durable journal, typed ports.

Start with `transitions` (the machine), `runner` (what performs it) and `ports` (what you bring). What an application
needs every day is here; importing it loads neither the runner nor an event loop until `Runner` is asked for.
"""

from typing import TYPE_CHECKING

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Delta,
    Grammar,
    JsonSchema,
    ModelProfile,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolMode,
)
from agent_core.errors import (
    AgentError,
    CodecError,
    ConfigurationError,
    ContextTooLongError,
    IllegalEventError,
    JournalConflictError,
    JournalError,
    JournalUnavailableError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    ProtocolError,
    RunNotFoundError,
    StaleCompletionError,
)
from agent_core.events import ApprovalDenied, ApprovalGranted, Event, InputGiven, RunCancelled, event_type
from agent_core.limits import Limits
from agent_core.messages import (
    FinishReason,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    Usage,
    assistant,
    user,
)
from agent_core.policy import ALLOWED, Decision, Policy, Rules, Verdict
from agent_core.ports import (
    ChatModel,
    Clock,
    Critic,
    HydrateRequest,
    Ids,
    Journal,
    Memory,
    Observer,
    RunHead,
    StoredEvent,
    ToolContext,
    ToolRunner,
)
from agent_core.reflexion import AnswerCheck, Finding, Judgement, Reflexion
from agent_core.state import Phase, RunState
from agent_core.tools import Label, ToolCall, ToolExample, ToolOffer, ToolResult, ToolSpec
from agent_core.transitions import TRANSITIONS, evolve, owed, replay, step

if TYPE_CHECKING:
    from agent_core.runner import Runner

    __version__: str
else:

    def __getattr__(name: str) -> object:
        # Both cost more to import than all the rest: the event loop's library, and the reader of metadata.
        if name == "Runner":
            from agent_core.runner import Runner  # noqa: PLC0415

            return Runner
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            return version("agent-core")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ALLOWED",
    "TRANSITIONS",
    "AgentError",
    "AnswerCheck",
    "ApprovalDenied",
    "ApprovalGranted",
    "ChatModel",
    "Choice",
    "Clock",
    "CodecError",
    "Completion",
    "ConfigurationError",
    "Constraint",
    "ContextTooLongError",
    "Critic",
    "Decision",
    "Delta",
    "Event",
    "Finding",
    "FinishReason",
    "Grammar",
    "HydrateRequest",
    "Ids",
    "IllegalEventError",
    "InputGiven",
    "Journal",
    "JournalConflictError",
    "JournalError",
    "JournalUnavailableError",
    "JsonSchema",
    "Judgement",
    "Label",
    "Limits",
    "Memory",
    "Message",
    "ModelError",
    "ModelProfile",
    "ModelRefusedError",
    "ModelRequest",
    "ModelUnavailableError",
    "Observer",
    "Part",
    "Phase",
    "Policy",
    "ProtocolError",
    "Reasoning",
    "ReasoningDelta",
    "Reflexion",
    "Role",
    "Rules",
    "RunCancelled",
    "RunHead",
    "RunNotFoundError",
    "RunState",
    "Runner",
    "StaleCompletionError",
    "StoredEvent",
    "Text",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolContext",
    "ToolExample",
    "ToolMode",
    "ToolOffer",
    "ToolResult",
    "ToolRunner",
    "ToolSpec",
    "Usage",
    "Verdict",
    "__version__",
    "assistant",
    "event_type",
    "evolve",
    "owed",
    "replay",
    "step",
    "user",
]
