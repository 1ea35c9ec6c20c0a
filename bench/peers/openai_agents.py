"""OpenAI Agents SDK: an `Agent` over a `Model` of our own, tracing off."""

import json

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from measure import ANSWER, PROMPT, Run, Script, add
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


AGENTS = {"OpenAI Agents": agent}
