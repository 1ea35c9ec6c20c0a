"""Libraries that only an extra brings."""

import importlib
from typing import Any

from agent_memory.errors import ParseError


def library(name: str, source: str, extra: str = "documents") -> Any:
    """A library of an extra.

    Raises:
        ParseError: it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ParseError(source, f"its kind needs an extra: pip install 'agent-memory[{extra}]'") from None
