"""Fakes of every port and the conformance suites, for the tests of those who build on agent-core."""

from agent_core.testing.clock import SequentialIds, VirtualClock
from agent_core.testing.journal import InMemoryJournal
from agent_core.testing.memory import NoMemory
from agent_core.testing.models import ScriptedModel, answer, call
from agent_core.testing.tools import ScriptedTools, tool

__all__ = [
    "InMemoryJournal",
    "NoMemory",
    "ScriptedModel",
    "ScriptedTools",
    "SequentialIds",
    "VirtualClock",
    "answer",
    "call",
    "tool",
]
