"""Fakes of every port, conformance suites and deterministic simulation, for the tests of those who build on agent-core.

`conformance` holds a suite for every port, `simulation` whole worlds of runs in which everything goes wrong.
"""

from agent_core.testing.clock import SequentialIds, VirtualClock
from agent_core.testing.journal import InMemoryJournal
from agent_core.testing.memory import NoMemory
from agent_core.testing.models import ScriptedModel, answer, call
from agent_core.testing.tools import ScriptedTools, tool
from agent_core.testing.virtual_time import LoopClock, StalledError, VirtualEventLoop, virtual_time

__all__ = [
    "InMemoryJournal",
    "LoopClock",
    "NoMemory",
    "ScriptedModel",
    "ScriptedTools",
    "SequentialIds",
    "StalledError",
    "VirtualClock",
    "VirtualEventLoop",
    "answer",
    "call",
    "tool",
    "virtual_time",
]
