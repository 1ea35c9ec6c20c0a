"""Short-term windows and the durable SQLite journal of agent runs."""

from importlib.metadata import version

from agent_memory.errors import JournalVersionError, MemoryStoreError
from agent_memory.journal import SqliteJournal
from agent_memory.short_term import SessionMemory, ShortTermWindow
from agent_memory.tokens import estimate_tokens

__version__ = version("agent-memory")

__all__ = [
    "JournalVersionError",
    "MemoryStoreError",
    "SessionMemory",
    "ShortTermWindow",
    "SqliteJournal",
    "__version__",
    "estimate_tokens",
]
