"""Agno: an `Agent` without a database over a `Model` of our own."""

import json
from dataclasses import dataclass

from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from measure import ANSWER, PROMPT, Run, Script, add


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


AGENTS = {"Agno": agent}
