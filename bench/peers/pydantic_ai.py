"""pydantic-ai: an `Agent` over a `Model` of our own, not instrumented."""

from measure import ANSWER, PROMPT, Run, Script, add
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage


class ScriptedModel(Model):
    """Replies as the script says."""

    model_name = "scripted"
    system = "scripted"

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    async def request(self, messages, *_) -> ModelResponse:
        arguments = await self.script.reply(str(messages[-1].parts[-1].content))
        if arguments is None:
            part = TextPart(ANSWER)
        else:
            part = ToolCallPart("add", arguments, tool_call_id=f"call_{arguments['a']}")
        usage = RequestUsage(input_tokens=1, output_tokens=1)
        return ModelResponse(parts=[part], usage=usage, model_name="scripted")


def agent(script: Script) -> Run:
    """An agent whose runs have no limit of requests."""
    counter = Agent(ScriptedModel(script), tools=[add])
    limits = UsageLimits(request_limit=None)

    async def run() -> str:
        return (await counter.run(PROMPT, usage_limits=limits)).output

    return run


AGENTS = {"pydantic-ai": agent}
