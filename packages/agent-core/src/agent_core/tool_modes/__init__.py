"""How a model is offered tools, one mode a file. Pure: a mode is a generator that yields what to ask the model, is
sent each completion, and returns what the turn came to. The runner, or a test, drives it.
"""

from collections.abc import Callable, Mapping

from agent_core.chat import ToolMode
from agent_core.tool_modes.constrained import constrained
from agent_core.tool_modes.native import native
from agent_core.tool_modes.routed import routed
from agent_core.tool_modes.turn import Ask, Turn, TurnOutcome, TurnView

TOOL_MODES: Mapping[ToolMode, Callable[[TurnView], Turn]] = {
    ToolMode.NATIVE: native,
    ToolMode.CONSTRAINED: constrained,
    ToolMode.ROUTED: routed,
}

__all__ = ["TOOL_MODES", "Ask", "Turn", "TurnOutcome", "TurnView"]
