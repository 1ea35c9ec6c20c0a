"""pydantic-ai: an `Agent` over a `Model` of our own, not instrumented; bare, and with a store of conversations in memory,
and hooks as policy and observer.
"""

from measure import ANSWER, PROMPT, Run, Script, Watch, add
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.capabilities import Hooks
from pydantic_ai.conversation_store import InMemoryConversationStore
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


def equipped(script: Script) -> Run:
    """The same agent, each run a conversation of its own, which is kept."""
    watch, store = Watch(), InMemoryConversationStore()

    async def before_tool(*_, call, args, **__):
        if not watch.allows(call.tool_name):
            raise PermissionError(call.tool_name)
        return args

    async def after_tool(*_, result, **__):
        watch.see(result)
        return result

    async def after_turn(*_, response, **__):
        watch.see(response)
        return response

    hooks = Hooks(
        before_tool_execute=before_tool, after_tool_execute=after_tool, after_model_request=after_turn
    )
    counter = Agent(ScriptedModel(script), tools=[add], capabilities=[hooks])
    limits = UsageLimits(request_limit=None)

    async def run() -> str:
        done = await counter.run(PROMPT, usage_limits=limits)
        watch.check(await store.save(done))
        return done.output

    return run


AGENTS = {"pydantic-ai": agent, "pydantic-ai, equipped": equipped}
