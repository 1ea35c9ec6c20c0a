"""What a model or an agent says to a request, as one stream: deltas, turns, and how it ended. Both APIs are written from it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

import msgspec

from agent_core.chat import ReasoningDelta, TextDelta
from agent_core.errors import ModelUnavailableError
from agent_core.messages import FinishReason, Message, Usage


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One whole message of the model; its deltas came before."""

    message: Message


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The last item."""

    finish_reason: FinishReason
    usage: Usage


class Waiting(msgspec.Struct, frozen=True):
    """Nothing was said for a while."""


class BrokenOff(msgspec.Struct, frozen=True):
    """The message under way was broken off, and is begun anew."""


WAITING = Waiting()
BROKEN_OFF = BrokenOff()

Said: TypeAlias = TextDelta | ReasoningDelta | Turn | Ended | Waiting
Talk: TypeAlias = AsyncGenerator[Said]


async def silence() -> Talk:
    """Nothing is said, and nobody was asked."""
    yield Ended(finish_reason=FinishReason.STOP, usage=Usage())


async def heard(talk: Talk) -> tuple[list[Message], Ended]:
    """Everything that was said, as a whole.

    Raises:
        AgentError: as the talk does.
    """
    turns: list[Message] = []
    async with aclosing(talk):
        async for said in talk:
            if isinstance(said, Turn):
                turns.append(said.message)
            elif isinstance(said, Ended):
                return turns, said
    raise ModelUnavailableError("the reply ended before it was complete; ask again")


async def begun(talk: Talk) -> Talk:
    """The same talk once its first item is there, so that what fails at once fails before a stream is promised.

    Raises:
        AgentError: as the talk does at its beginning.
    """
    first = await anext(talk)
    return _with_first(first, talk)


async def _with_first(first: Said, talk: Talk) -> Talk:
    async with aclosing(talk):
        yield first
        async for said in talk:
            yield said
