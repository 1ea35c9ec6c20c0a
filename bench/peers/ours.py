"""agent-core with all its features on: journal, memory, policy, limits, verdicts, an observer."""

import msgspec
from measure import ANSWER, PROMPT, Run, Script, add

from agent_core import Limits, Runner, ToolCall, ToolResult
from agent_core.chat import Completion, ModelProfile, TextDelta
from agent_core.messages import FinishReason, Message, Usage, assistant
from agent_core.testing import InMemoryJournal
from agent_core.tools import ToolOffer, ToolSpec

SPEC = ToolSpec(
    name="add",
    description="Add two whole numbers.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
    idempotent=True,
)


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    a: int
    b: int


class ScriptedModel:
    """Replies as the script says, the answer as a stream."""

    profile = ModelProfile(name="test:scripted")

    def __init__(self, script: Script) -> None:
        self.script = script

    async def stream(self, request):
        last = request.messages[-1].parts[-1]
        arguments = await self.script.reply(last.content if isinstance(last, ToolResult) else last.text)
        if arguments is None:
            yield TextDelta(ANSWER)
            message, reason = assistant(ANSWER), FinishReason.STOP
        else:
            call = ToolCall(tool_call_id=f"call_{arguments['a']}", name="add", arguments=arguments)
            message, reason = Message(role="assistant", parts=(call,)), FinishReason.TOOL_CALLS
        usage = Usage(input_tokens=1, output_tokens=1)
        yield Completion(message=message, model="scripted", finish_reason=reason, usage=usage)

    async def aclose(self):
        pass


class Tools:
    """One tool, its arguments checked against their types, as the others check theirs."""

    offers = (ToolOffer(spec=SPEC),)

    async def specs(self, query):  # noqa: ARG002  # the port's signature
        return self.offers

    def spec(self, name):
        return SPEC if name == "add" else None

    async def run(self, call, context):  # noqa: ARG002  # the port's signature
        arguments = msgspec.convert(call.arguments, Arguments)
        return ToolResult(tool_call_id=call.tool_call_id, content=str(await add(arguments.a, arguments.b)))


class Memory:
    async def hydrate(self, request):  # noqa: ARG002  # the port's signature
        return ()

    async def remember(self, outcome):
        pass


class Watcher:
    def on_event(self, stored, state):
        pass

    def on_delta(self, run_id, delta):
        pass


def agent(script: Script) -> Run:
    """A runner over a journal in memory, which keeps every event of every run."""
    runner = Runner(
        model=ScriptedModel(script),
        tools=Tools(),
        memory=Memory(),
        journal=InMemoryJournal(),
        observers=[Watcher()],
    )
    limits = Limits(turns=None, tool_calls=None)

    async def run() -> str:
        return (await runner.run(PROMPT, limits=limits)).answer

    return run


AGENTS = {"agent-core": agent}
