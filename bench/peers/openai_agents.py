"""OpenAI Agents SDK: an `Agent` over a `Model` of our own, tracing off; bare, and with a session in memory, a tool's input
guardrail as policy and run hooks as observer.
"""

import json
from uuid import uuid4

from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    RunHooks,
    Runner,
    SessionABC,
    ToolGuardrailFunctionOutput,
    Usage,
    function_tool,
    tool_input_guardrail,
)
from measure import ANSWER, PROMPT, Run, Script, Watch, add
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText


class ScriptedModel(Model):
    """Replies as the script says."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def get_response(self, *_, **request) -> ModelResponse:
        last = request["input"][-1]
        arguments = await self.script.reply(last["output"] if "output" in last else last["content"])
        if arguments is None:
            text = ResponseOutputText(type="output_text", text=ANSWER, annotations=[])
            item = ResponseOutputMessage(
                id="message", type="message", role="assistant", status="completed", content=[text]
            )
        else:
            item = ResponseFunctionToolCall(
                type="function_call",
                call_id=f"call_{arguments['a']}",
                name="add",
                arguments=json.dumps(arguments),
            )
        return ModelResponse(output=[item], usage=Usage(), response_id=None)

    def stream_response(self, *_, **__):
        raise NotImplementedError


def agent(script: Script) -> Run:
    """An agent without a session."""
    counter = Agent(name="counter", model=ScriptedModel(script), tools=[function_tool(add)])
    config = RunConfig(tracing_disabled=True)

    async def run() -> str:
        return (await Runner.run(counter, PROMPT, max_turns=1_000, run_config=config)).final_output

    return run


class ListSession(SessionABC):
    """A session's items in a list: the leanest that the protocol allows; the SDK's own in memory is a SQLite."""

    session_settings = None

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.items: list = []

    async def get_items(self, limit=None):
        return self.items if limit is None else self.items[-limit:]

    async def add_items(self, items):
        self.items.extend(items)

    async def pop_item(self):
        return self.items.pop() if self.items else None

    async def clear_session(self):
        self.items.clear()


class Observer(RunHooks):
    """Told of every turn and every result."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def on_llm_end(self, *told):
        self.watch.see(*told)

    async def on_tool_end(self, *told):
        self.watch.see(*told)


def equipped(script: Script) -> Run:
    """The same agent, each run in a session of its own, which is kept."""
    watch = Watch()

    @tool_input_guardrail
    def policy(data):
        if watch.allows(data.context.tool_name):
            return ToolGuardrailFunctionOutput.allow()
        return ToolGuardrailFunctionOutput.reject_content("not allowed")

    made = function_tool(add)
    made.tool_input_guardrails = [policy]
    counter = Agent(name="counter", model=ScriptedModel(script), tools=[made])
    config, hooks = RunConfig(tracing_disabled=True), Observer(watch)
    sessions: dict[str, ListSession] = {}

    async def run() -> str:
        session = ListSession(str(uuid4()))
        sessions[session.session_id] = session
        done = await Runner.run(
            counter, PROMPT, max_turns=1_000, run_config=config, hooks=hooks, session=session
        )
        watch.check(session.items)
        return done.final_output

    return run


AGENTS = {"OpenAI Agents": agent, "OpenAI Agents, equipped": equipped}
