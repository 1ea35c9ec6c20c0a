import contextlib

import anyio

from agent_core.testing.conformance.tool_runner import ToolRunnerConformance
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner, hookimpl, skill
from agent_skills.builtin import register_builtins


class Sleeper:
    @hookimpl
    def register_skills(self, register):
        @skill
        async def sleep(seconds: float) -> str:
            """Sleep."""
            await anyio.sleep(seconds)
            return "slept"

        register(sleep)


class TestSkillRunner(ToolRunnerConformance):
    good = ToolCall(tool_call_id="good", name="calculator", arguments={"expression": "1 + 2"})
    failing = ToolCall(tool_call_id="failing", name="calculator", arguments={"expression": "1 / 0"})
    endless = ToolCall(tool_call_id="endless", name="sleep", arguments={"seconds": 3600})

    @contextlib.asynccontextmanager
    async def tool_runner(self):
        registry = SkillRegistry()
        register_builtins(registry)
        registry.register("sleeper", Sleeper())
        yield SkillRunner(registry)
