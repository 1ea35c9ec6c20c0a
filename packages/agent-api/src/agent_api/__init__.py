"""agentd and agent: the daemon and the command line over the four agent libraries."""

from importlib.metadata import version

__version__ = version("agent-api")
