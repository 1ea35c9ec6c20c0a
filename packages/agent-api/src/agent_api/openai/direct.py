"""The machine's model, asked directly: no run, no skills, nothing kept. It stops with the connection that asked."""

from contextlib import aclosing

from msgspec.structs import replace

from agent_api.errors import TooManyRunsError
from agent_api.openai.caller import Caller
from agent_api.openai.talk import Ended, Talk, Turn
from agent_core.chat import CallContext, Completion, ModelRequest, ToolCallDelta, ToolMode
from agent_core.errors import ModelUnavailableError
from agent_core.messages import Message, Text, Usage
from agent_core.tool_modes.routed import REPEAT_PENALTY
from agent_core.tools import ToolCall


async def direct(caller: Caller, request: ModelRequest) -> Talk:
    """Ask the model. It takes a place among the daemon's runs while it answers, and its key pays.

    Raises:
        TooManyRunsError: as many are being answered as may be.
        ModelError: the model cannot be asked, or refuses.
    """
    capacity, key = caller.supervisor.capacity, caller.principal.key
    if capacity.is_used_up:
        raise TooManyRunsError(capacity.limit)
    asked = replace(request, context=CallContext(tenant=key.tenant, key_id=key.key_id))
    if request.constraint is None and caller.model.profile.tool_mode is ToolMode.ROUTED:
        asked = replace(
            asked, repeat_penalty=REPEAT_PENALTY
        )  # the smallest repeat themselves up to their limit
    capacity.take()
    deltas, usage = 0, None
    try:
        async with aclosing(caller.model.stream(asked)) as stream:
            async for item in stream:
                if isinstance(item, Completion):
                    usage = item.usage
                    yield Turn(message=named(item.message, caller))
                    yield Ended(finish_reason=item.finish_reason, usage=item.usage)
                    return
                deltas += 1
                if not isinstance(item, ToolCallDelta):  # the whole call comes with the turn
                    yield item
    finally:
        capacity.release()
        if usage is not None or deltas:  # who goes away in the middle pays for about what was said
            caller.spend(usage or Usage(output_tokens=deltas))
    name = caller.model.profile.name
    raise ModelUnavailableError(f"model {name!r} ended its reply without completing it; ask again")


def named(message: Message, caller: Caller) -> Message:
    """The message with an id on every call: clients send results back by it."""
    if all(call.tool_call_id for call in message.tool_calls):
        return message
    parts = [
        replace(part, tool_call_id=caller.new_id("call"))
        if isinstance(part, ToolCall) and not part.tool_call_id
        else part
        for part in message.parts
    ]
    return replace(message, parts=tuple(parts))


def with_instructions(request: ModelRequest, instructions: str) -> ModelRequest:
    """The request with instructions before it, where it has none of its own."""
    if not instructions or any(message.role == "system" for message in request.messages):
        return request
    own = Message(role="system", parts=(Text(text=instructions),))
    return replace(request, messages=(own, *request.messages))
