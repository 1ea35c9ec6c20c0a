"""Embeds agent-core in a program: an own model, an own skill, and every event on the screen as it happens."""

from collections.abc import AsyncIterator, Sequence

import anyio

from agent_core import (
    Completion,
    Delta,
    Message,
    ModelProfile,
    ModelRequest,
    Runner,
    StoredEvent,
    TextDelta,
    ToolCall,
    ToolContext,
    ToolOffer,
    ToolResult,
    ToolSpec,
    assistant,
    event_type,
)
from agent_core.testing import InMemoryJournal, NoMemory


class Parrot:
    """A model: asks the skill for the longest word, then talks about it."""

    profile = ModelProfile(name="own:parrot")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | Completion]:
        last = request.messages[-1]
        if last.role == "user":
            call = ToolCall(tool_call_id="1", name="longest_word", arguments={"text": last.text})
            yield Completion(message=Message(role="assistant", parts=(call,)), model="parrot")
            return
        said = f"The longest word is {last.tool_results[0].content!r}."
        for word in said.split():
            yield TextDelta(f"{word} ")
        yield Completion(message=assistant(said), model="parrot")


LONGEST_WORD = ToolSpec(
    name="longest_word",
    description="Find the longest word of a text.",
    parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    idempotent=True,
)


class Skills:
    """One skill, as the runner sees it."""

    async def specs(self, query: str) -> Sequence[ToolOffer]:  # noqa: ARG002  # one skill fits every query
        return [ToolOffer(spec=LONGEST_WORD)]

    def spec(self, name: str) -> ToolSpec | None:
        return LONGEST_WORD if name == LONGEST_WORD.name else None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:  # noqa: ARG002  # it needs no context
        return ToolResult(
            tool_call_id=call.tool_call_id, content=max(str(call.arguments["text"]).split(), key=len)
        )


async def main() -> None:
    runner = Runner(model=Parrot(), tools=Skills(), memory=NoMemory(), journal=InMemoryJournal())
    run_id = await runner.start("We were all surprisingly calm")
    async with runner.stream(run_id) as feed:
        async for item in feed:
            if isinstance(item, StoredEvent):
                print(f"{item.seq}. {event_type(item.event)}")
            elif isinstance(item, TextDelta):
                print(f"   {item.text}")
    print((await runner.load(run_id)).answer)


if __name__ == "__main__":
    anyio.run(main)
