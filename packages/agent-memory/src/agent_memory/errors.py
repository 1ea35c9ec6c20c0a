"""The error tree of agent-memory, below `agent_core.errors.AgentError`.

MemoryStoreError                 a file of this library cannot serve
├── JournalVersionError          a newer agent-memory wrote the journal; also a JournalUnavailableError
├── MemoryVersionError           a newer agent-memory wrote the memory
├── MemoryUnavailableError       the storage failed (disk full, locked, I/O error): nothing was written
└── EmbedderMismatchError        the vectors are of another embedder: embed again

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


class MemoryVersionError(MemoryStoreError):
    """A newer version wrote this memory: it is left alone."""

    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(
            f"the memory at {where} is of schema version {found} and this agent-memory knows up to {known}; "
            "upgrade agent-memory"
        )
        self.where = where
        self.found = found
        self.known = known


class MemoryUnavailableError(MemoryStoreError):
    """The storage under a memory failed; nothing of this call was written, and it can be tried again."""

    retryable: ClassVar[bool] = True

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"the memory at {where} cannot be used: {reason}")
        self.where = where
        self.reason = reason


class EmbedderMismatchError(MemoryStoreError):
    """Vectors of two embedders cannot be compared."""

    def __init__(self, where: str, recorded: str, given: str, remedy: str) -> None:
        super().__init__(
            f"the vectors at {where} are of embedder {recorded!r}, and not of {given!r}; {remedy}"
        )
        self.where = where
        self.recorded = recorded
        self.given = given
