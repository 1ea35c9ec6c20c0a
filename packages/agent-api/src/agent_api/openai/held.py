"""Tools of a client for a model without a tool format of its own: its reply is held to a call of one of them, or an answer."""

from contextlib import aclosing

from msgspec.structs import replace

from agent_api.openai.caller import Caller
from agent_api.openai.direct import direct, named
from agent_api.openai.talk import Ended, Talk, Turn
from agent_core.chat import Completion, JsonSchema, ModelRequest, NamedTool, TextDelta, ToolMode
from agent_core.messages import FinishReason, Message
from agent_core.tool_modes import Ask, TurnOutcome, TurnView
from agent_core.tool_modes import Turn as ToolTurn
from agent_core.tool_modes.constrained import constrained
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
    turn = constrained(_view(caller, request))
    ask: Ask = next(turn)
    question = replace(
        request,
        messages=ask.request.messages,
        constraint=ask.request.constraint,
        tools=(),
        tool_choice="auto",
        parallel_tool_calls=None,
    )
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


def _view(caller: Caller, request: ModelRequest) -> TurnView:
    shape = request.constraint
    return TurnView(
        messages=[message for message in request.messages if message.role != "system"],
        offers=[ToolOffer(spec=tool) for tool in _offered(request)],
        profile=caller.model.profile,
        turn=1,
        instructions="\n\n".join(m.text for m in request.messages if m.role == "system"),
        answer_schema=shape.schema if isinstance(shape, JsonSchema) else None,
    )


def _offered(request: ModelRequest) -> tuple[ToolSpec, ...]:
    chosen = request.tool_choice
    if not isinstance(chosen, NamedTool):
        return tuple(request.tools)
    return tuple(tool for tool in request.tools if tool.name == chosen.name)


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
