"""The fakes keep the promises of their ports."""

from contextlib import asynccontextmanager

import anyio

from agent_core.feed import Feed
from agent_core.messages import assistant
from agent_core.reflexion import Finding, Judgement
from agent_core.system import SystemClock, SystemIds
from agent_core.telemetry import TelemetryObserver
from agent_core.testing import (
    HashEmbedder,
    InMemoryJournal,
    InMemoryKnowledgeBase,
    LoopClock,
    RecordingObserver,
    ScriptedCritic,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    SessionMemory,
    VirtualClock,
)
from agent_core.testing.conformance.chat_model import ChatModelConformance
from agent_core.testing.conformance.clock import ClockConformance
from agent_core.testing.conformance.critic import CriticConformance
from agent_core.testing.conformance.embedder import EmbedderConformance
from agent_core.testing.conformance.ids import IdsConformance
from agent_core.testing.conformance.journal import JournalConformance
from agent_core.testing.conformance.knowledge_base import KnowledgeBaseConformance
from agent_core.testing.conformance.memory import MemoryConformance
from agent_core.testing.conformance.observer import ObserverConformance
from agent_core.testing.conformance.tool_runner import ToolRunnerConformance
from agent_core.tools import ToolCall


class TestInMemoryJournal(JournalConformance):
    @asynccontextmanager
    async def journal(self):
        yield InMemoryJournal()


class TestScriptedModel(ChatModelConformance):
    @asynccontextmanager
    async def chat_model(self):
        class Slow(ScriptedModel):
            """Lets others run between two words, as a real model does."""

            async def stream(self, request):
                async for item in super().stream(request):
                    yield item
                    await anyio.lowlevel.checkpoint()

        yield Slow([assistant("once upon a time there was a model")])


class TestScriptedTools(ToolRunnerConformance):
    good = ToolCall(tool_call_id="good", name="add", arguments={"a": 1, "b": 2})
    failing = ToolCall(tool_call_id="failing", name="divide", arguments={"a": 1, "b": 0})
    endless = ToolCall(tool_call_id="endless", name="sleep", arguments={})

    @asynccontextmanager
    async def tool_runner(self):
        yield ScriptedTools(
            {"add": lambda a, b: str(a + b), "divide": lambda a, b: str(a / b), "sleep": anyio.sleep_forever}
        )


class TestSessionMemory(MemoryConformance):
    @asynccontextmanager
    async def memory(self):
        yield SessionMemory()


class TestHashEmbedder(EmbedderConformance):
    @asynccontextmanager
    async def embedder(self):
        yield HashEmbedder()


class TestInMemoryKnowledgeBase(KnowledgeBaseConformance):
    domain = "general"

    @asynccontextmanager
    async def knowledge_base(self, sources):
        base = InMemoryKnowledgeBase()
        for source in sources:
            base.add(source.name, source.text, source.metadata)
        yield base


class TestScriptedCritic(CriticConformance):
    @asynccontextmanager
    async def critic(self):
        yield ScriptedCritic([Judgement(), Judgement(finding=Finding.REVISE, reason="Look again.")])


class TestRecordingObserver(ObserverConformance):
    @asynccontextmanager
    async def observer(self):
        yield RecordingObserver()

    def check(self, observer, steps):
        assert observer.events == list(steps)


class TestFeed(ObserverConformance):
    @asynccontextmanager
    async def observer(self):
        yield Feed()


class TestTelemetryObserver(ObserverConformance):
    @asynccontextmanager
    async def observer(self):
        yield TelemetryObserver()


class TestSystemClock(ClockConformance):
    def clock(self):
        return SystemClock()


class TestVirtualClock(ClockConformance):
    def clock(self):
        return VirtualClock()


class TestLoopClock(ClockConformance):
    def clock(self):
        return LoopClock()


class TestSystemIds(IdsConformance):
    def ids(self):
        return SystemIds()


class TestSequentialIds(IdsConformance):
    def ids(self):
        return SequentialIds()
