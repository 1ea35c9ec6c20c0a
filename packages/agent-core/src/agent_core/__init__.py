"""A sans-IO agent machine: one transition table, a durable journal, typed ports.

Start with `transitions` (the machine), `runner` (what performs it) and `ports` (what you bring). What an application
needs every day is here, and each name is imported when it is first asked for: `import agent_core` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_core.chat import (
        CallContext,
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
    from agent_core.embeddings import Embeddings
    from agent_core.errors import (
        AgentError,
        CodecError,
        ConfigurationError,
        ContextTooLongError,
        IllegalEventError,
        JournalConflictError,
        JournalError,
        JournalUnavailableError,
        KnowledgeError,
        KnowledgeUnavailableError,
        ModelError,
        ModelRefusedError,
        ModelUnavailableError,
        ProtocolError,
        RunNotFoundError,
        StaleCompletionError,
    )
    from agent_core.events import ApprovalDenied, ApprovalGranted, Event, InputGiven, RunCancelled, event_type
    from agent_core.knowledge import Between, Citation, Filters, MetadataValue, Passage
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
        Embedder,
        HydrateRequest,
        Ids,
        Journal,
        KnowledgeBase,
        Memory,
        Observer,
        RunHead,
        StoredEvent,
        ToolContext,
        ToolRunner,
    )
    from agent_core.reflexion import AnswerCheck, Finding, Judgement, Reflexion
    from agent_core.runner import Runner
    from agent_core.state import Phase, RunState
    from agent_core.tools import Label, ToolCall, ToolExample, ToolOffer, ToolResult, ToolSpec
    from agent_core.transitions import TRANSITIONS, evolve, owed, replay, step

    __version__: str
else:
    _NAMES = {
        "chat": (
            "CallContext",
            "Choice",
            "Completion",
            "Constraint",
            "Delta",
            "Grammar",
            "JsonSchema",
            "ModelProfile",
            "ModelRequest",
            "ReasoningDelta",
            "TextDelta",
            "ToolCallDelta",
            "ToolMode",
        ),
        "embeddings": ("Embeddings",),
        "errors": (
            "AgentError",
            "CodecError",
            "ConfigurationError",
            "ContextTooLongError",
            "IllegalEventError",
            "JournalConflictError",
            "JournalError",
            "JournalUnavailableError",
            "KnowledgeError",
            "KnowledgeUnavailableError",
            "ModelError",
            "ModelRefusedError",
            "ModelUnavailableError",
            "ProtocolError",
            "RunNotFoundError",
            "StaleCompletionError",
        ),
        "events": ("ApprovalDenied", "ApprovalGranted", "Event", "InputGiven", "RunCancelled", "event_type"),
        "knowledge": ("Between", "Citation", "Filters", "MetadataValue", "Passage"),
        "limits": ("Limits",),
        "messages": (
            "FinishReason",
            "Message",
            "Part",
            "Reasoning",
            "Role",
            "Text",
            "Usage",
            "assistant",
            "user",
        ),
        "policy": ("ALLOWED", "Decision", "Policy", "Rules", "Verdict"),
        "ports": (
            "ChatModel",
            "Clock",
            "Critic",
            "Embedder",
            "HydrateRequest",
            "Ids",
            "Journal",
            "KnowledgeBase",
            "Memory",
            "Observer",
            "RunHead",
            "StoredEvent",
            "ToolContext",
            "ToolRunner",
        ),
        "reflexion": ("AnswerCheck", "Finding", "Judgement", "Reflexion"),
        "state": ("Phase", "RunState"),
        "tools": ("Label", "ToolCall", "ToolExample", "ToolOffer", "ToolResult", "ToolSpec"),
        "transitions": ("TRANSITIONS", "evolve", "owed", "replay", "step"),
        "runner": ("Runner",),
    }
    _HOME = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = import_module("importlib.metadata").version("agent-core")
        elif name in _HOME:
            value = getattr(import_module(f"agent_core.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "ALLOWED",
    "TRANSITIONS",
    "AgentError",
    "AnswerCheck",
    "ApprovalDenied",
    "ApprovalGranted",
    "Between",
    "CallContext",
    "ChatModel",
    "Choice",
    "Citation",
    "Clock",
    "CodecError",
    "Completion",
    "ConfigurationError",
    "Constraint",
    "ContextTooLongError",
    "Critic",
    "Decision",
    "Delta",
    "Embedder",
    "Embeddings",
    "Event",
    "Filters",
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
    "KnowledgeBase",
    "KnowledgeError",
    "KnowledgeUnavailableError",
    "Label",
    "Limits",
    "Memory",
    "Message",
    "MetadataValue",
    "ModelError",
    "ModelProfile",
    "ModelRefusedError",
    "ModelRequest",
    "ModelUnavailableError",
    "Observer",
    "Part",
    "Passage",
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
