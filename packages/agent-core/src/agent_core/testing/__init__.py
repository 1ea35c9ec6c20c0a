"""Fakes of every port, conformance suites and deterministic simulation, for the tests of those who build on agent-core.

`conformance` holds a suite for every port, `simulation` whole worlds of runs in which everything goes wrong.
"""

from agent_core.testing.clock import SequentialIds, VirtualClock
from agent_core.testing.critic import ScriptedCritic
from agent_core.testing.embedder import HashEmbedder
from agent_core.testing.journal import InMemoryJournal
from agent_core.testing.knowledge import InMemoryKnowledgeBase
from agent_core.testing.memory import NoMemory, SessionMemory
from agent_core.testing.models import ScriptedModel, answer, call
from agent_core.testing.observer import RecordingObserver
from agent_core.testing.tools import ScriptedTools, tool
from agent_core.testing.virtual_time import LoopClock, StalledError, VirtualEventLoop, virtual_time

__all__ = [
    "HashEmbedder",
    "InMemoryJournal",
    "InMemoryKnowledgeBase",
    "LoopClock",
    "NoMemory",
    "RecordingObserver",
    "ScriptedCritic",
    "ScriptedModel",
    "ScriptedTools",
    "SequentialIds",
    "SessionMemory",
    "StalledError",
    "VirtualClock",
    "VirtualEventLoop",
    "answer",
    "call",
    "tool",
    "virtual_time",
]
