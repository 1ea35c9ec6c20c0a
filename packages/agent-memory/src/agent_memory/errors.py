"""The error tree of agent-memory, below `agent_core.errors.AgentError`.

MemoryStoreError                 a file of this library cannot serve
├── JournalVersionError          a newer agent-memory wrote the journal; also a JournalUnavailableError
├── MemoryVersionError           a newer agent-memory wrote the memory
├── MemoryUnavailableError       the storage failed (disk full, locked, I/O error): nothing was written
├── EmbedderMismatchError        the vectors are of another embedder: embed again
├── ImportFormatError            a folder that is no export, or cannot be imported where it was asked to
├── UnknownDomainError           no such domain; also a KnowledgeError
├── UnknownFieldError            a field that a domain cannot be filtered by; also a KnowledgeError
├── FilterValueError             a value of another kind than the field; also a KnowledgeError
├── KnowledgeVersionError        no such version of a knowledge base; also a KnowledgeError
└── ParseError                   a document cannot be read: says which and why

All else that can fail has a name in agent-core already: `JournalConflictError`, `RunNotFoundError`,
`JournalUnavailableError`, `ContextTooLongError`.
"""

from collections.abc import Iterable
from typing import ClassVar

from agent_core.errors import AgentError, JournalUnavailableError, KnowledgeError


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


class UnknownDomainError(MemoryStoreError, KnowledgeError):
    """A knowledge base has no such domain."""

    def __init__(self, domain: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no domain {domain!r}; there are {', '.join(sorted(known))}, or add it by `domains`"
        )
        self.domain = domain


class UnknownFieldError(MemoryStoreError, KnowledgeError):
    """A field that the domain does not have cannot be filtered by."""

    def __init__(self, domain: str, field: str, known: Iterable[str]) -> None:
        super().__init__(
            f"domain {domain!r} has no field {field!r} to filter by; it has {', '.join(sorted(known))}"
        )
        self.domain = domain
        self.field = field


class FilterValueError(MemoryStoreError, KnowledgeError):
    """A value is of another kind than the field."""

    def __init__(self, field: str, kind: str, value: object) -> None:
        super().__init__(f"the field {field!r} holds a {kind}: {value!r} is none")
        self.field = field
        self.value = value


class KnowledgeVersionError(MemoryStoreError, KnowledgeError):
    """A version that was never made, or was let go."""

    def __init__(self, domain: str, version: str, known: Iterable[str]) -> None:
        super().__init__(
            f"domain {domain!r} has no version {version!r}; there are: {', '.join(known) or 'none'}"
        )
        self.domain = domain
        self.version = version


class ParseError(MemoryStoreError):
    """A document cannot be read."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source} cannot be read: {reason}")
        self.source = source
        self.reason = reason


class ImportFormatError(MemoryStoreError):
    """A folder that is no export, or cannot be imported where it was asked to."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} cannot be imported: {reason}")
        self.where = where
        self.reason = reason
