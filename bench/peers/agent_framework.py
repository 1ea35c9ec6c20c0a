"""Microsoft Agent Framework: an `Agent` over a chat client of our own that has the framework's tool loop."""

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
    tool,
)
from measure import ANSWER, PROMPT, Run, Script, add


class ScriptedClient(FunctionInvocationLayer, BaseChatClient):
    """Replies as the script says."""

    def __init__(self, script: Script) -> None:
        super().__init__(function_invocation_configuration={"max_iterations": 1_000})
        self.script = script

    def _inner_get_response(self, *, messages, **_):
        return self._reply(messages[-1].contents[-1])

    async def _reply(self, last: Content) -> ChatResponse:
        arguments = await self.script.reply(last.text if last.type == "text" else last.result)
        if arguments is None:
            content = Content.from_text(ANSWER)
        else:
            content = Content.from_function_call(f"call_{arguments['a']}", "add", arguments=arguments)
        return ChatResponse(messages=[Message(role="assistant", contents=[content])])


def agent(script: Script) -> Run:
    """An agent without a session, run anew each time."""
    counter = Agent(ScriptedClient(script), tools=[tool(add, approval_mode="never_require")])

    async def run() -> str:
        return (await counter.run(PROMPT)).text

    return run


AGENTS = {"Microsoft Agent Framework": agent}
