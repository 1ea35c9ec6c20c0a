"""The error tree of agent-memory, below `agent_core.errors.AgentError`.

MemoryStoreError            a file of this library cannot serve
└── JournalVersionError     a newer agent-memory wrote the journal; also a JournalUnavailableError

All else that can fail has a name in agent-core already: `JournalConflictError`, `RunNotFoundError`,
`JournalUnavailableError`, `ContextTooLongError`.
"""

from typing import ClassVar

from agent_core.errors import AgentError, JournalUnavailableError


class MemoryStoreError(AgentError):
    """The root of this library's own errors: a file of it cannot serve."""


class JournalVersionError(MemoryStoreError, JournalUnavailableError):
    """A newer version wrote this journal: reading it with this one could misread it, so it is left alone."""

    retryable: ClassVar[bool] = False

    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(
            where,
            f"its schema is version {found} and this agent-memory knows up to {known}; upgrade agent-memory",
        )
        self.found = found
        self.known = known
