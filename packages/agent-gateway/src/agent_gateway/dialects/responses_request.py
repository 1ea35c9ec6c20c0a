"""The requests of OpenAI Responses; the replies are in `openai_responses`. Pure.

Nothing is kept by the provider (`store: false`): what it must see again, sealed thoughts too, is sent again.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from agent_core.chat import JsonSchema, ModelRequest, NamedTool
from agent_core.messages import File, Image, Message, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolResult
from agent_gateway.compat import Thinking
from agent_gateway.dialects.constraints import is_strict
from agent_gateway.dialects.data_urls import data_url
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.dialects.extras import add_extra
from agent_gateway.dialects.own_pictures import shown_by_the_user
from agent_gateway.dialects.thinking import effort
from agent_gateway.dialects.tool_names import Names
from agent_gateway.errors import ConstraintUnsupportedError

NAME = "openai_responses"
_HOUR_S = 3_600

Item = dict[str, object]


def encode_request(request: ModelRequest, wiring: Wiring) -> Item:
    """The body of a request, as JSON values.

    Raises:
        ConstraintUnsupportedError: the format has only JSON schemas.
    """
    names = Names(request.tools)
    messages = list(shown_by_the_user([_with_own_pictures(one) for one in request.messages]))
    instructions: list[str] = []
    while messages and messages[0].role == "system":
        instructions.append(messages.pop(0).text)
    body: Item = {
        "model": wiring.model,
        "input": [item for message in messages for item in _items(message, names)],
        "store": False,
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": names.wire(tool.name),
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": is_strict(tool.parameters),
            }
            for tool in request.tools
        ]
        body["tool_choice"] = _tool_choice(request, names)
    thinks = wiring.traits.thinking is Thinking.EFFORT
    word = effort(request, wiring.traits.efforts) if thinks else None
    optional = {
        "instructions": "\n\n".join(instructions) or None,
        "parallel_tool_calls": request.parallel_tool_calls,
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature if wiring.traits.sampling else None,
        "top_p": request.top_p if wiring.traits.sampling else None,
        "reasoning": {"effort": word, "summary": "auto"} if word is not None else None,
        "include": ["reasoning.encrypted_content"] if thinks else None,
        "prompt_cache_retention": "24h" if (request.cache_ttl_s or 0) > _HOUR_S else None,
        "stream": wiring.stream or None,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    if request.constraint is not None:
        if not isinstance(request.constraint, JsonSchema):
            raise ConstraintUnsupportedError(wiring.model, type(request.constraint).__name__)
        schema = request.constraint.schema
        shape: Item = {"type": "json_schema", "name": request.constraint.name, "schema": schema}
        body["text"] = {"format": {**shape, "strict": is_strict(schema)}}
    add_extra(body, request.extra)
    return body


def is_drawing(item: Mapping[str, object]) -> bool:
    """Whether `item` is a picture that the provider made for the model."""
    return item.get("type") == "image_generation_call"


def _with_own_pictures(message: Message) -> Message:
    """`message` with each picture back in the item from which the decoder took it."""
    if message.role != "assistant" or not any(isinstance(part, Opaque) for part in message.parts):
        return message
    parts: list[Part] = []
    for part in message.parts:
        last = parts[-1] if parts else None
        if (
            isinstance(part, Image)
            and isinstance(last, Opaque)
            and last.origin == NAME
            and is_drawing(last.item)
            and "result" not in last.item
        ):
            drawn = base64.b64encode(part.data).decode()
            parts[-1] = Opaque(origin=NAME, item={**last.item, "result": drawn})
        else:
            parts.append(part)
    return msgspec.structs.replace(message, parts=tuple(parts))


def _tool_choice(request: ModelRequest, names: Names) -> object:
    choice = request.tool_choice
    return {"type": "function", "name": names.wire(choice.name)} if isinstance(choice, NamedTool) else choice


def _items(message: Message, names: Names) -> Iterator[Item]:
    """The items of one message, in the order of its parts; texts and media side by side are one item."""
    for result in message.tool_results:
        yield {"type": "function_call_output", "call_id": result.tool_call_id, "output": _output(result)}
    if message.role == "assistant":
        yield from _said(message.parts, names)
        return
    role = {"system": "developer"}.get(message.role, "user")
    content = [_input(part) for part in message.parts if isinstance(part, Text | Image | File)]
    if content:
        alone = len(content) == 1 and content[0]["type"] == "input_text"
        yield {"role": role, "content": content[0]["text"] if alone else content}


def _output(result: ToolResult) -> str | list[Item]:
    attached = [_input(one) for one in result.attachments if isinstance(one, Image | File)]
    attached += [
        dict(one.item) for one in result.attachments if isinstance(one, Opaque) and one.origin == NAME
    ]
    if not attached:
        return result.content
    return [*([_input(Text(text=result.content))] if result.content else []), *attached]


def _said(parts: Sequence[Part], names: Names) -> Iterator[Item]:
    thought: Item | None = None  # the item that the parts of one thought go to
    for part in parts:
        if not isinstance(part, Reasoning):
            thought = None
            yield from _answer(part, names)
        elif thought is not None and part.item_id == thought.get("id"):
            _add_thought(thought, part)
        elif part.origin == NAME and (part.signature or not part.summary):
            thought = {"type": "reasoning", "summary": []}
            if part.item_id:
                thought["id"] = part.item_id
            if part.signature:
                thought["encrypted_content"] = part.signature
            _add_thought(thought, part)
            yield thought


def _answer(part: Part, names: Names) -> Iterator[Item]:
    match part:
        case Text():
            said: Item = {"role": "assistant", "content": part.text}
            yield {**said, "phase": part.phase} if part.phase else said
        case ToolCall():
            arguments = {"malformed": part.malformed} if part.malformed else part.arguments
            call: Item = {
                "type": "function_call",
                "call_id": part.tool_call_id,
                "name": names.wire(part.name),
                "arguments": msgspec.json.encode(arguments).decode(),
            }
            yield {**call, "namespace": part.namespace} if part.namespace else call
        case Opaque() if part.origin == NAME:
            yield dict(part.item)
        case _:
            pass


def _add_thought(thought: Item, part: Reasoning) -> None:
    if not part.text:
        return
    field, kind = ("summary", "summary_text") if part.summary else ("content", "reasoning_text")
    cast("list[Item]", thought.setdefault(field, [])).append({"type": kind, "text": part.text})


def _input(part: Text | Image | File) -> Item:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            image: Item = {"type": "input_image", "detail": part.detail or "auto"}
            if part.file_id:
                return {**image, "file_id": part.file_id}
            return {**image, "image_url": part.url or data_url(part.media_type, part.data)}
        case File():
            if part.file_id:
                return {"type": "input_file", "file_id": part.file_id}
            if part.url:
                return {"type": "input_file", "file_url": part.url}
            data = data_url(part.media_type, part.data)
            return {"type": "input_file", "filename": part.name or "file", "file_data": data}
