"""LangGraph: a graph of two nodes written by hand over plain dicts, and its prebuilt agent; bare, and with a checkpointer
in memory, a wrapper of tools as policy (in the graph by hand a question in its node) and callbacks as observer.
"""

import operator
from typing import Annotated, TypedDict
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from measure import ANSWER, PROMPT, Run, Script, Watch, add

CONFIG = {"recursion_limit": 10_000}


class State(TypedDict):
    messages: Annotated[list, operator.add]


class Observer(AsyncCallbackHandler):
    """Told of the end of every node, turn and tool."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def on_chain_end(self, outputs, **_):
        self.watch.see(outputs)

    async def on_llm_end(self, response, **_):
        self.watch.see(response)

    async def on_tool_end(self, output, **_):
        self.watch.see(output)


def config_of(watch: Watch) -> dict:
    """For a run that is a thread of its own."""
    return {**CONFIG, "configurable": {"thread_id": str(uuid4())}, "callbacks": [Observer(watch)]}


def graph(script: Script, watch: Watch | None = None) -> Run:
    """The leanest that the library allows: no message classes, no chat model, every function async."""

    async def model(state: State):
        arguments = await script.reply(state["messages"][-1]["content"])
        if arguments is None:
            return {"messages": [{"role": "assistant", "content": ANSWER}]}
        call = {"id": f"call_{arguments['a']}", "name": "add", "args": arguments}
        return {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}

    async def tools(state: State):
        if watch is not None and not all(
            watch.allows(call["name"]) for call in state["messages"][-1]["tool_calls"]
        ):
            raise PermissionError
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": str(await add(**call["args"]))}
            for call in state["messages"][-1]["tool_calls"]
        ]
        return {"messages": results}

    async def route(state: State) -> str:
        return "tools" if state["messages"][-1].get("tool_calls") else END

    builder = StateGraph(State)
    builder.add_node("model", model)
    builder.add_node("tools", tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", route, ["tools", END])
    builder.add_edge("tools", "model")
    saver = None if watch is None else InMemorySaver()
    compiled = builder.compile(checkpointer=saver)

    async def run() -> str:
        config = CONFIG if watch is None else config_of(watch)
        state = await compiled.ainvoke({"messages": [{"role": "user", "content": PROMPT}]}, config)
        if watch is not None:
            watch.check(saver.storage[config["configurable"]["thread_id"]][""])
        return state["messages"][-1]["content"]

    return run


def agent(script: Script, watch: Watch | None = None) -> Run:
    """The prebuilt agent over a chat model of our own."""
    import warnings

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langgraph.prebuilt import ToolNode, create_react_agent

    class ScriptedModel(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, *_, **__):
            return self

        def _generate(self, *_, **__):
            raise NotImplementedError

        async def _agenerate(self, messages, *_, **__) -> ChatResult:
            arguments = await script.reply(messages[-1].content)
            if arguments is None:
                message = AIMessage(content=ANSWER)
            else:
                call = {"id": f"call_{arguments['a']}", "name": "add", "args": arguments}
                message = AIMessage(content="", tool_calls=[call])
            return ChatResult(generations=[ChatGeneration(message=message)])

    async def policy(request, execute):
        if not watch.allows(request.tool_call["name"]):
            raise PermissionError
        return await execute(request)

    saver = None if watch is None else InMemorySaver()
    tools = [add] if watch is None else ToolNode([add], awrap_tool_call=policy)
    with warnings.catch_warnings(action="ignore"):  # deprecated in favour of another package's, still theirs
        compiled = create_react_agent(ScriptedModel(), tools, checkpointer=saver)

    async def run() -> str:
        config = CONFIG if watch is None else config_of(watch)
        state = await compiled.ainvoke({"messages": [("user", PROMPT)]}, config)
        if watch is not None:
            watch.check(saver.storage[config["configurable"]["thread_id"]][""])
        return state["messages"][-1].content

    return run


AGENTS = {
    "LangGraph graph": graph,
    "LangGraph agent": agent,
    "LangGraph graph, equipped": lambda script: graph(script, Watch()),
    "LangGraph agent, equipped": lambda script: agent(script, Watch()),
}
