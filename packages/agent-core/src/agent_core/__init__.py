"""A sans-IO agent machine: one transition table, a durable journal, typed ports.

Start with `transitions` (the machine), `runner` (what performs it) and `ports` (what you bring).
"""

from importlib.metadata import version

__version__ = version("agent-core")
