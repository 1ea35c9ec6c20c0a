"""The error tree of agent-core; every library hangs its own root below `AgentError`.

AgentError
├── ProtocolError               somebody broke the rules of the machine
│   ├── IllegalEventError       an event that the phase does not allow
│   ├── QuestionUnseenError     a person decided on a question that came up after they had looked
│   └── StaleCompletionError    a result that nobody waits for: dropped by the runner
├── JournalError                the journal could not do what was asked
│   ├── JournalConflictError    another writer was first: stop and read again
│   ├── RunNotFoundError        no such run
│   └── JournalUnavailableError the storage failed (disk full, I/O error): nothing was written
├── KnowledgeError              a knowledge base could not do what was asked
│   └── KnowledgeUnavailableError its storage failed or is missing
├── CodecError                  bytes that are no event of any known version
├── ModelError                  a model could not be asked or did not answer
│   ├── ModelUnavailableError   unreachable, missing, overloaded: the run can be resumed
│   ├── ModelRefusedError       the request itself is wrong: asking again will not help
│   └── ContextTooLongError     more tokens than the model holds
└── ConfigurationError          the person who set this up must change something
"""

from typing import ClassVar


class AgentError(Exception):
    """The root of every error that the agent libraries raise. `retryable` says whether to try again is of any use."""

    retryable: ClassVar[bool] = False


class ProtocolError(AgentError):
    """Somebody broke the rules of the machine."""


class IllegalEventError(ProtocolError):
    """An event arrived in a phase that does not allow it."""

    def __init__(self, phase: str, event_type: str) -> None:
        super().__init__(
            f"event {event_type!r} is not legal in phase {str(phase)!r}; see agent_core.transitions.TRANSITIONS"
        )
        self.phase = phase
        self.event_type = event_type


class QuestionUnseenError(ProtocolError):
    """A decision for a call whose question came up after the person had looked at the run."""

    def __init__(self, tool_call_id: str, asked_at: int) -> None:
        super().__init__(
            f"what call {tool_call_id!r} waits for was asked by event {asked_at}, behind what was seen: look at the "
            "run again, and decide on what it asks now"
        )
        self.tool_call_id = tool_call_id
        self.asked_at = asked_at


class StaleCompletionError(ProtocolError):
    """A completion for work that nobody waits for any more; drop it."""

    def __init__(self, event_type: str, subject: str) -> None:
        super().__init__(f"{event_type!r} for {subject!r} is stale: nothing waits for it; drop it")
        self.event_type = event_type
        self.subject = subject


class JournalError(AgentError):
    """The journal could not do what was asked."""


class JournalConflictError(JournalError):
    """The journal's head is not where the writer believed: another writer was first."""

    retryable = True

    def __init__(self, run_id: str, expected_seq: int, actual_seq: int) -> None:
        super().__init__(
            f"run {run_id!r} is at event {actual_seq}, not {expected_seq}: another writer was first; read it again"
        )
        self.run_id = run_id
        self.expected_seq = expected_seq
        self.actual_seq = actual_seq


class RunNotFoundError(JournalError):
    """No run of that id is in the journal."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r} in this journal; `agent runs list` shows those that are")
        self.run_id = run_id


class JournalUnavailableError(JournalError):
    """The storage under the journal failed; the events of this call were not written."""

    retryable = True

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"the journal at {where} cannot be used: {reason}")
        self.where = where
        self.reason = reason


class KnowledgeError(AgentError):
    """A knowledge base could not do what was asked; the message says what to change."""


class KnowledgeUnavailableError(KnowledgeError):
    """The storage under a knowledge base failed or is missing; nothing that was acknowledged is lost."""

    retryable = True

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"the knowledge base at {where} cannot be used: {reason}")
        self.where = where
        self.reason = reason


class CodecError(AgentError):
    """Bytes that are no event of any version this library knows."""


class ModelError(AgentError):
    """A model could not be asked, or did not answer."""


class ModelUnavailableError(ModelError):
    """The model is missing, unreachable or overloaded; the run stays as it is and can be resumed."""

    retryable = True


class ModelRefusedError(ModelError):
    """The provider says that the request itself is wrong; the same request will fail again."""


class ContextTooLongError(ModelError):
    """The conversation holds more tokens than the model can read."""

    def __init__(self, model: str, tokens: int, limit: int) -> None:
        super().__init__(
            f"the prompt is about {tokens:,} tokens long and model {model!r} holds {limit:,}; "
            "shorten it or choose a model with a larger context"
        )
        self.model = model
        self.tokens = tokens
        self.limit = limit


class ConfigurationError(AgentError):
    """Something is set up wrongly; the message says what to change."""
