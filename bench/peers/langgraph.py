"""LangGraph: a graph of two nodes written by hand over plain dicts, and its prebuilt agent; no checkpointer."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from measure import ANSWER, PROMPT, Run, Script, add

CONFIG = {"recursion_limit": 10_000}


class State(TypedDict):
    messages: Annotated[list, operator.add]


def graph(script: Script) -> Run:
    """The leanest that the library allows: no message classes, no chat model, every function async."""

    async def model(state: State):
        arguments = await script.reply(state["messages"][-1]["content"])
        if arguments is None:
            return {"messages": [{"role": "assistant", "content": ANSWER}]}
        call = {"id": f"call_{arguments['a']}", "name": "add", "args": arguments}
        return {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}

    async def tools(state: State):
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
    compiled = builder.compile()

    async def run() -> str:
        state = await compiled.ainvoke({"messages": [{"role": "user", "content": PROMPT}]}, CONFIG)
        return state["messages"][-1]["content"]

    return run


def agent(script: Script) -> Run:
    """The prebuilt agent over a chat model of our own."""
    import warnings

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langgraph.prebuilt import create_react_agent

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

    with warnings.catch_warnings(action="ignore"):  # deprecated in favour of another package's, still theirs
        compiled = create_react_agent(ScriptedModel(), [add])

    async def run() -> str:
        state = await compiled.ainvoke({"messages": [("user", PROMPT)]}, CONFIG)
        return state["messages"][-1].content

    return run


AGENTS = {"LangGraph graph": graph, "LangGraph agent": agent}
