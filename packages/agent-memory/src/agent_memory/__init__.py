"""What an agent keeps: the window of a session, a long-term memory, and the durable journal of runs, on SQLite.

Each name is imported when it is first asked for: `import agent_memory` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_memory.errors import (
        EmbedderMismatchError,
        JournalVersionError,
        MemoryStoreError,
        MemoryUnavailableError,
        MemoryVersionError,
    )
    from agent_memory.journal import SqliteJournal
    from agent_memory.journal_upkeep import JournalCheck
    from agent_memory.long_term import (
        Episode,
        Fact,
        Filter,
        Hit,
        LongTermMemory,
        Outcome,
        RecallingMemory,
        Weights,
        Why,
    )
    from agent_memory.session_memory import SessionMemory
    from agent_memory.short_term import ShortTermWindow
    from agent_memory.summaries import ModelSummary
    from agent_memory.tokens import counted_by, estimate_tokens

    __version__: str
else:
    _NAMES = {
        "errors": (
            "EmbedderMismatchError",
            "JournalVersionError",
            "MemoryStoreError",
            "MemoryUnavailableError",
            "MemoryVersionError",
        ),
        "journal": ("SqliteJournal",),
        "journal_upkeep": ("JournalCheck",),
        "long_term": (
            "Episode",
            "Fact",
            "Filter",
            "Hit",
            "LongTermMemory",
            "Outcome",
            "RecallingMemory",
            "Weights",
            "Why",
        ),
        "session_memory": ("SessionMemory",),
        "short_term": ("ShortTermWindow",),
        "summaries": ("ModelSummary",),
        "tokens": ("counted_by", "estimate_tokens"),
    }
    _HOME = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = import_module("importlib.metadata").version("agent-memory")
        elif name in _HOME:
            value = getattr(import_module(f"agent_memory.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "EmbedderMismatchError",
    "Episode",
    "Fact",
    "Filter",
    "Hit",
    "JournalCheck",
    "JournalVersionError",
    "LongTermMemory",
    "MemoryStoreError",
    "MemoryUnavailableError",
    "MemoryVersionError",
    "ModelSummary",
    "Outcome",
    "RecallingMemory",
    "SessionMemory",
    "ShortTermWindow",
    "SqliteJournal",
    "Weights",
    "Why",
    "__version__",
    "counted_by",
    "estimate_tokens",
]
