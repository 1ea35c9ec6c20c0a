"""Agno: an `Agent` over a `Model` of our own; without a database, and with one in memory, a tool hook as policy and hooks
around the run and the tool as observer.
"""

import json
from dataclasses import dataclass
from uuid import uuid4

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.response import ModelResponse
from measure import ANSWER, PROMPT, Run, Script, Watch, add


@dataclass
class ScriptedModel(Model):
    """Replies as the script says."""

    script: Script | None = None

    async def ainvoke(self, messages, **_) -> ModelResponse:
        arguments = await self.script.reply(messages[-1].content)
        if arguments is None:
            return ModelResponse(role="assistant", content=ANSWER)
        function = {"name": "add", "arguments": json.dumps(arguments)}
        call = {"id": f"call_{arguments['a']}", "type": "function", "function": function}
        return ModelResponse(role="assistant", tool_calls=[call])

    def invoke(self, *_, **__):
        raise NotImplementedError

    invoke_stream = ainvoke_stream = _parse_provider_response = _parse_provider_response_delta = invoke


def agent(script: Script) -> Run:
    """An agent that stores nothing and reports nothing."""
    counter = Agent(model=ScriptedModel(id="scripted", script=script), tools=[add], telemetry=False)

    async def run() -> str:
        return (await counter.arun(PROMPT)).content

    return run


def equipped(script: Script) -> Run:
    """The same agent, each run in a session of its own, which is kept."""
    watch, database = Watch(), InMemoryDb()

    async def around_tool(function_name, function_call, arguments):
        if not watch.allows(function_name):
            raise PermissionError(function_name)
        result = await function_call(**arguments)
        watch.see(result)
        return result

    def after_run(run_output):
        watch.see(run_output)

    counter = Agent(
        model=ScriptedModel(id="scripted", script=script),
        tools=[add],
        db=database,
        tool_hooks=[around_tool],
        post_hooks=[after_run],
        tool_call_limit=1_000,
        telemetry=False,
    )

    async def run() -> str:
        session_id = str(uuid4())
        answer = (await counter.arun(PROMPT, session_id=session_id)).content
        watch.check(database.get_session(session_id, "agent").runs[-1].messages)
        return answer

    return run


AGENTS = {"Agno": agent, "Agno, equipped": equipped}
