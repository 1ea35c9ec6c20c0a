"""Embeds agent-core in a program: an own model, an own skill, and every event on the screen as it happens."""

import anyio

from agent_core import Completion, Message, ModelProfile, Runner, StoredEvent, assistant, event_type
from agent_core import ToolCall, ToolOffer, ToolResult, ToolSpec
from agent_core.testing import InMemoryJournal, NoMemory

LONGEST = ToolSpec(name="longest_word", description="Find the longest word.", parameters={}, idempotent=True)


class Parrot:  # a model: asks the skill for the longest word, then talks about it
    profile = ModelProfile(name="own:parrot")

    async def stream(self, request):
        last = request.messages[-1]
        if last.role == "user":
            call = ToolCall(tool_call_id="1", name=LONGEST.name, arguments={"text": last.text})
            yield Completion(message=Message(role="assistant", parts=(call,)), model="parrot")
        else:
            said = f"The longest word is {last.tool_results[0].content!r}."
            yield Completion(message=assistant(said), model="parrot")

    async def aclose(self):
        pass


class Skills:  # one skill, as the runner sees it
    async def specs(self, query):
        return [ToolOffer(spec=LONGEST)]

    def spec(self, name):
        return LONGEST if name == LONGEST.name else None

    async def run(self, call, context):
        return ToolResult(
            tool_call_id=call.tool_call_id, content=max(call.arguments["text"].split(), key=len)
        )


async def main():
    runner = Runner(model=Parrot(), tools=Skills(), memory=NoMemory(), journal=InMemoryJournal())
    run_id = await runner.start("We were all surprisingly calm")
    async with runner.stream(run_id) as feed:
        async for item in feed:
            print(f"{item.seq}. {event_type(item.event)}" if isinstance(item, StoredEvent) else item.text)
    print((await runner.load(run_id)).answer)


if __name__ == "__main__":
    anyio.run(main)
