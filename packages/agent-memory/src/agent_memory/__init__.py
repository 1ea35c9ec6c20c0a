"""Short-term windows and the durable SQLite journal of agent runs."""

from importlib.metadata import version

from agent_memory.errors import JournalVersionError, MemoryStoreError
from agent_memory.journal import SqliteJournal

__version__ = version("agent-memory")

__all__ = ["JournalVersionError", "MemoryStoreError", "SqliteJournal", "__version__"]
