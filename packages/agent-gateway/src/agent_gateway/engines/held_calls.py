"""Tool calls of engines that know no `tool_choice` but auto: a reply that must be a call is held to a JSON schema of
one, and read back. Pure.
"""

from collections.abc import Mapping, Sequence

import msgspec

from agent_core.chat import JsonSchema, ModelRequest, NamedTool, SchemaLimits
from agent_core.json_types import JsonObject
from agent_core.messages import Message, system
from agent_core.tool_modes.call_schema import bounded, closed
from agent_core.tool_modes.turn import readable
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.dialects.tool_names import wire_names


def held_request(request: ModelRequest, limits: SchemaLimits) -> ModelRequest | None:
    """The same question, whose reply can be nothing but a call, read by `read_call`; None where the model may answer.

    The tools are told of in the first message: templates of models that were not trained for tools leave them out.
    """
    tools = _held_tools(request)
    if not tools or request.constraint is not None or request.raw:
        return None
    wire_of = {name: wire for wire, name in wire_names(request.tools).items()}
    calls: list[JsonObject] = [
        closed({"name": {"const": wire_of[tool.name]}, "arguments": bounded(tool.parameters, limits)})
        for tool in tools
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return msgspec.structs.replace(
        request,
        messages=_told(request.messages, tools, wire_of),
        tools=(),
        tool_choice="none",
        constraint=JsonSchema(schema=schema, name="tool_call"),
    )


def _told(
    messages: Sequence[Message], tools: Sequence[ToolSpec], wire_of: Mapping[str, str]
) -> tuple[Message, ...]:
    lines = (
        f"- {wire_of[tool.name]}: {tool.description} Arguments: {msgspec.json.encode(tool.parameters).decode()}"
        for tool in tools
    )
    told = 'Call a tool, as one JSON object: {"name": ..., "arguments": {...}}. The tools:\n' + "\n".join(
        lines
    )
    first, *rest = readable(messages)
    if first.role == "system":
        return (system(f"{first.text}\n\n{told}"), *rest)
    return (system(told), first, *rest)


def _held_tools(request: ModelRequest) -> Sequence[ToolSpec]:
    match request.tool_choice:
        case "required":
            return request.tools
        case NamedTool(name=name):
            return [tool for tool in request.tools if tool.name == name]
        case _:
            return ()


class _Call(msgspec.Struct):
    name: str
    arguments: dict[str, object] = {}


def read_call(text: str, names: Mapping[str, str], tool_call_id: str) -> ToolCall | None:
    """The call that `text` is; None where it was cut off before its end.

    Args:
        text: A reply that was held to `held_call`.
        names: Wire name -> tool name, of `wire_names`.
        tool_call_id: The id to give it.
    """
    try:
        call = msgspec.json.decode(text, type=_Call)
    except msgspec.DecodeError:
        return None
    return ToolCall(tool_call_id=tool_call_id, name=names.get(call.name, call.name), arguments=call.arguments)
