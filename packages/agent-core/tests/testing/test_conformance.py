"""The fakes keep the promises of their ports."""

from contextlib import asynccontextmanager

import anyio

from agent_core.messages import assistant
from agent_core.testing import InMemoryJournal, ScriptedModel, ScriptedTools
from agent_core.testing.conformance.chat_model import ChatModelConformance
from agent_core.testing.conformance.journal import JournalConformance
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
