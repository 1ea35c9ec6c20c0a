"""Short-term windows and the durable SQLite journal of agent runs."""

from importlib.metadata import version

__version__ = version("agent-memory")
