"""Tools as plugins: one typed function, one entry point."""

from importlib.metadata import version

__version__ = version("agent-skills")
