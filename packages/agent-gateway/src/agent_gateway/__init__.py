"""One typed interface to local and remote language models."""

from importlib.metadata import version

__version__ = version("agent-gateway")
