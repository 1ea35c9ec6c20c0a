"""A whole reply at once, for who shows no stream. Works with any `ChatModel`."""

from contextlib import aclosing

from agent_core.chat import Completion, ModelRequest
from agent_core.messages import user
from agent_core.ports import ChatModel
from agent_gateway.errors import BrokenReplyError


async def complete(model: ChatModel, request: ModelRequest | str) -> Completion:
    """The completion that `model` answers `request` with; a text is asked as one message of a user.

    Raises:
        BrokenReplyError: the stream ended without one.
        ModelError: whatever else `ChatModel.stream` raises.
    """
    asked = ModelRequest(messages=(user(request),)) if isinstance(request, str) else request
    async with aclosing(model.stream(asked)) as items:
        async for item in items:
            if isinstance(item, Completion):
                return item
    raise BrokenReplyError(model.profile.name, "its stream ended without a completion")
