"""Microsoft Agent Framework: an `Agent` over a chat client of our own that has the framework's tool loop; bare, and with
a session whose history it keeps, function middleware as policy and chat middleware as observer.
"""

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddleware,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    FunctionMiddleware,
    InMemoryHistoryProvider,
    Message,
    MiddlewareTermination,
    tool,
)
from measure import ANSWER, PROMPT, Run, Script, Watch, add


class Replies(BaseChatClient):
    """Replies as the script says."""

    script: Script

    def _inner_get_response(self, *, messages, **_):
        return self._reply(messages[-1].contents[-1])

    async def _reply(self, last: Content) -> ChatResponse:
        arguments = await self.script.reply(last.text if last.type == "text" else last.result)
        if arguments is None:
            content = Content.from_text(ANSWER)
        else:
            content = Content.from_function_call(f"call_{arguments['a']}", "add", arguments=arguments)
        return ChatResponse(messages=[Message(role="assistant", contents=[content])])


class ScriptedClient(FunctionInvocationLayer, Replies):
    """With the framework's tool loop."""

    def __init__(self, script: Script) -> None:
        super().__init__(function_invocation_configuration={"max_iterations": 1_000})
        self.script = script


class WatchedClient(FunctionInvocationLayer, ChatMiddlewareLayer, Replies):
    """With the tool loop, its limits and middleware, in the order of the framework's own clients."""

    def __init__(self, script: Script) -> None:
        limits = {"max_iterations": 1_000, "max_function_calls": 1_000}
        super().__init__(function_invocation_configuration=limits)
        self.script = script


class Policy(FunctionMiddleware):
    """Asked before every tool."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def process(self, context, call_next):
        if not self.watch.allows(context.function.name):
            raise MiddlewareTermination
        await call_next()


class Observer(ChatMiddleware):
    """Told of every turn."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def process(self, context, call_next):
        await call_next()
        self.watch.see(context.result)


def agent(script: Script) -> Run:
    """An agent without a session, run anew each time."""
    counter = Agent(ScriptedClient(script), tools=[tool(add, approval_mode="never_require")])

    async def run() -> str:
        return (await counter.run(PROMPT)).text

    return run


def equipped(script: Script) -> Run:
    """The same agent, each run in a session of its own, which is kept."""
    watch, history = Watch(), InMemoryHistoryProvider()
    counter = Agent(
        WatchedClient(script),
        tools=[tool(add, approval_mode="never_require")],
        context_providers=[history],
        middleware=[Policy(watch), Observer(watch)],
    )
    sessions: dict[str, AgentSession] = {}

    async def run() -> str:
        session = counter.create_session()
        sessions[session.session_id] = session
        answer = (await counter.run(PROMPT, session=session)).text
        watch.check(session.state[history.source_id]["messages"])
        return answer

    return run


AGENTS = {"Microsoft Agent Framework": agent, "Microsoft Agent Framework, equipped": equipped}
