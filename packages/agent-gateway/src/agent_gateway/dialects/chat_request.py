"""The requests of OpenAI Chat Completions; the replies are in `openai_chat`. Pure."""

import base64
from collections.abc import Iterator, Sequence

import msgspec

from agent_core.chat import ModelRequest, NamedTool
from agent_core.messages import File, Image, Message, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.compat import COMPATIBLE, Compat, Thinking, Traits
from agent_gateway.dialects.constraints import constraint_fields
from agent_gateway.dialects.data_urls import data_url
from agent_gateway.dialects.extras import add_extra
from agent_gateway.dialects.own_pictures import shown_by_the_user
from agent_gateway.dialects.thinking import effort
from agent_gateway.dialects.tool_names import Names

NAME = "openai_chat"


def encode_request(
    request: ModelRequest,
    *,
    model: str,
    compat: Compat = COMPATIBLE,
    traits: Traits = Traits(),  # noqa: B008 (frozen)
    stream: bool = True,
) -> dict[str, object]:
    """The body of a request, as JSON values.

    Raises:
        ConstraintUnsupportedError: `compat` says that the server cannot hold its output to the constraint.
    """
    names = Names(request.tools)
    body: dict[str, object] = {
        "model": model,
        "messages": list(_messages(request.messages, names, compat)),
    }
    if request.tools:
        body["tools"] = [_tool(tool, names.wire(tool.name)) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request, names)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    optional = {
        compat.max_tokens_field: request.max_output_tokens,
        "temperature": request.temperature if traits.sampling else None,
        "top_p": request.top_p if traits.sampling else None,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        compat.repeat_penalty_field: request.repeat_penalty,
        compat.effort_field: effort(request, traits.efforts)
        if traits.thinking is not Thinking.NONE
        else None,
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream and compat.stream_usage else None,
    }
    body.update({name: value for name, value in optional.items() if name and value is not None})
    if request.constraint is not None:
        body.update(constraint_fields(request.constraint, compat))
    body.update(compat.extra)
    add_extra(body, request.extra)
    return body


def _tool(tool: ToolSpec, name: str) -> dict[str, object]:
    function = {"name": name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _tool_choice(request: ModelRequest, names: Names) -> object:
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": names.wire(choice.name)}}
    return choice


def _messages(messages: Sequence[Message], names: Names, compat: Compat) -> Iterator[dict[str, object]]:
    """The wire's messages. Results are text alone: what is attached to them follows them, as the user's."""
    attached: list[Part] = []
    for message in shown_by_the_user(messages):
        if attached and not message.tool_results:
            yield {"role": "user", "content": _content(attached)}
            attached = []
        yield from _message(message, names, compat)
        for result in message.tool_results:
            media = [one for one in result.attachments if isinstance(one, Image | File)]
            if media:
                attached += [Text(text=f"Attached to the result of {result.tool_call_id}:"), *media]
    if attached:
        yield {"role": "user", "content": _content(attached)}


def _message(message: Message, names: Names, compat: Compat) -> Iterator[dict[str, object]]:
    """The wire's messages: each tool result is one of its own, and a note behind them one of the user."""
    for result in message.tool_results:
        yield {"role": "tool", "tool_call_id": result.tool_call_id, "content": result.content}
    if message.role == "tool":
        if message.text:
            yield {"role": "user", "content": message.text}
        return
    wire: dict[str, object] = {"role": message.role, "content": _content(message.parts)}
    calls = message.tool_calls
    if calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [_call(call, names) for call in calls]
    if compat.reasoning_field:
        thoughts = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
        if thoughts or (calls and compat.reasoning_required):
            wire[compat.reasoning_field] = thoughts
    if compat.reasoning_details:
        for part in message.parts:
            if isinstance(part, Opaque) and part.origin == NAME:
                wire.update(part.item)
    yield wire


def _content(parts: Sequence[Part]) -> object:
    """Text alone as a string; with images or files, a list."""
    if not any(isinstance(part, Image | File) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    listed: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, Text):
            listed.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            image: dict[str, object] = {"url": part.url or data_url(part.media_type, part.data)}
            if part.detail:
                image["detail"] = part.detail
            listed.append({"type": "image_url", "image_url": image})
        elif isinstance(part, File):
            listed.append(_file(part))
    return listed


def _file(part: File) -> dict[str, object]:
    if part.media_type.startswith("audio/") and part.data:
        kind = {"mpeg": "mp3", "x-wav": "wav"}.get(part.media_type[6:], part.media_type[6:])
        return {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(part.data).decode(), "format": kind},
        }
    if part.file_id:
        return {"type": "file", "file": {"file_id": part.file_id}}
    data = part.url or data_url(part.media_type, part.data)
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}


def _call(call: ToolCall, names: Names) -> dict[str, object]:
    # Templates parse the arguments of earlier calls: text that was no JSON object would break every later request.
    arguments = {"malformed": call.malformed} if call.malformed else call.arguments
    function = {"name": names.wire(call.name), "arguments": msgspec.json.encode(arguments).decode()}
    wire: dict[str, object] = {"id": call.tool_call_id, "type": "function", "function": function}
    if call.signature:
        wire["extra_content"] = {"google": {"thought_signature": call.signature}}
    return wire
