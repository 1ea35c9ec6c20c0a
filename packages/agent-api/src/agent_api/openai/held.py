"""Tools of a client for a model without a tool format of its own: its reply is held to a call of one of them, or an answer.

The smallest models are not asked which tool, or whether one: likeness proposes it, as it does for skills.
"""

from collections.abc import Sequence
from contextlib import aclosing

from msgspec.structs import replace

from agent_api.openai.caller import Caller
from agent_api.openai.direct import direct, named
from agent_api.openai.talk import Ended, Talk, Turn
from agent_api.openai.word_vectors import FLOOR, likest_tool
from agent_core.chat import Completion, JsonSchema, ModelRequest, NamedTool, TextDelta, ToolMode
from agent_core.messages import FinishReason, Message
from agent_core.tool_modes import Ask, TurnOutcome, TurnView
from agent_core.tool_modes import Turn as ToolTurn
from agent_core.tool_modes.constrained import constrained
from agent_core.tool_modes.turn import readable
from agent_core.tools import ToolCall, ToolOffer, ToolSpec


def asked_directly(caller: Caller, request: ModelRequest) -> Talk:
    """Ask the model in the way in which it is offered tools.

    Raises:
        TooManyRunsError: as many are being answered as may be.
        ModelError: the model cannot be asked, or refuses.
    """
    has_format = caller.model.profile.tool_mode is ToolMode.NATIVE
    if has_format or not request.tools or request.tool_choice == "none":
        return direct(caller, request)
    return _held(caller, request)


async def _held(caller: Caller, request: ModelRequest) -> Talk:
    offered, must_call = await _offered(request, caller.model.profile.tool_mode)
    messages = readable(request.messages)
    plain = replace(request, messages=messages, tools=(), tool_choice="auto", parallel_tool_calls=None)
    if not offered:
        async with aclosing(direct(caller, plain)) as talk:
            async for item in talk:
                yield item
        return
    turn = constrained(_view(caller, request, offered, must_call=must_call))
    ask: Ask = next(turn)
    question = replace(plain, messages=ask.request.messages, constraint=ask.request.constraint)
    said: Message | None = None
    async with aclosing(direct(caller, question)) as talk:
        async for item in talk:
            if isinstance(item, Turn):
                said = item.message
            elif isinstance(item, Ended) and said is not None:
                message = _without_ids(_outcome(turn, said, item, caller))
                if message.text:
                    yield TextDelta(message.text)
                yield Turn(message=named(message, caller))
                called = FinishReason.TOOL_CALLS if message.tool_calls else item.finish_reason
                yield Ended(finish_reason=called, usage=item.usage)


async def _offered(request: ModelRequest, mode: ToolMode) -> tuple[Sequence[ToolSpec], bool]:
    """The tools to choose from, and whether one of them is called whatever the model thinks."""
    chosen, tools = request.tool_choice, request.tools
    if isinstance(chosen, NamedTool):
        return [tool for tool in tools if tool.name == chosen.name], True
    if mode is not ToolMode.ROUTED:
        return tools, chosen == "required"
    last = request.messages[-1]
    if last.role == "tool" and chosen != "required":
        return (), False  # it answers with the result
    asked = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
    floor = -1.0 if chosen == "required" else FLOOR
    likest = await likest_tool(asked, tools, floor=floor)
    return ((likest,), True) if likest else ((), False)


def _view(caller: Caller, request: ModelRequest, offered: Sequence[ToolSpec], *, must_call: bool) -> TurnView:
    shape = None if must_call else request.constraint  # of an answer, which is no choice then
    return TurnView(
        messages=[message for message in request.messages if message.role != "system"],
        offers=[ToolOffer(spec=tool) for tool in offered],
        profile=caller.model.profile,
        turn=1,
        instructions="\n\n".join(m.text for m in request.messages if m.role == "system"),
        answer_schema=shape.schema if isinstance(shape, JsonSchema) else None,
        must_call=must_call,
    )


def _outcome(turn: ToolTurn, said: Message, ended: Ended, caller: Caller) -> Message:
    completion = Completion(
        message=said,
        finish_reason=ended.finish_reason,
        usage=ended.usage,
        model=caller.model.profile.name,
    )
    try:
        turn.send(completion)
    except StopIteration as stop:
        outcome: TurnOutcome = stop.value
        return outcome.message
    return said


def _without_ids(message: Message) -> Message:
    """A mode names calls by their turn, and a client has many conversations: each call gets an id of its own."""
    parts = [replace(part, tool_call_id="") if isinstance(part, ToolCall) else part for part in message.parts]
    return replace(message, parts=tuple(parts))
