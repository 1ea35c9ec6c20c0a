"""The requests of Anthropic Messages; the replies are in `anthropic_messages`. Pure."""

import base64
from collections.abc import Iterator
from typing import cast

from agent_core.chat import JsonSchema, ModelRequest, NamedTool
from agent_core.messages import File, Image, Message, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolResult
from agent_gateway.compat import Thinking
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.dialects.extras import add_extra
from agent_gateway.dialects.own_pictures import shown_by_the_user
from agent_gateway.dialects.thinking import budget, effort
from agent_gateway.dialects.tool_names import Names
from agent_gateway.errors import ConstraintUnsupportedError

NAME = "anthropic_messages"
_FILES_BETA = {"anthropic-beta": "files-api-2025-04-14"}
_LEAST_BUDGET = 1_024
_HOUR_S = 3_600
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})

Block = dict[str, object]


def encode_request(request: ModelRequest, wiring: Wiring) -> tuple[Block, dict[str, str]]:
    """The body of a request as JSON values, and the headers that it needs.

    Raises:
        ConstraintUnsupportedError: the model has no such constraint.
    """
    names = Names(request.tools)
    traits = wiring.traits
    system, messages = _conversation(request, names, system_turns=traits.system_turns)
    body: Block = {"model": wiring.model, "messages": messages}
    if system:
        body["system"] = (
            system[0]["text"] if len(system) == 1 and "cache_control" not in system[0] else system
        )
    if request.tools:
        body["tools"] = [
            {"name": names.wire(tool.name), "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        choice = _tool_choice(request, names)
        if choice is not None:
            body["tool_choice"] = choice
    thinking = _add_thinking(body, request, wiring)
    optional = {
        "stop_sequences": list(request.stop) or None,
        # Neither may be set where the model thinks.
        "temperature": request.temperature if traits.sampling and not thinking else None,
        "top_k": request.top_k if traits.sampling and not thinking else None,
        "top_p": request.top_p if traits.sampling else None,
        "cache_control": None if request.cache_ttl_s is None else _cache(request.cache_ttl_s),
        "stream": wiring.stream or None,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    if request.constraint is not None:
        if not isinstance(request.constraint, JsonSchema) or not traits.json_schema:
            raise ConstraintUnsupportedError(wiring.model, type(request.constraint).__name__)
        shape = {"type": "json_schema", "schema": request.constraint.schema}
        known = body.get("output_config")
        body["output_config"] = {**(known if isinstance(known, dict) else {}), "format": shape}
    add_extra(body, request.extra)
    held = any(
        isinstance(part, Image | File) and part.file_id
        for one in request.messages
        for part in (*one.parts, *(also for result in one.tool_results for also in result.attachments))
    )
    return body, _FILES_BETA if held else {}


def _add_thinking(body: Block, request: ModelRequest, wiring: Wiring) -> bool:
    """How much to think and the longest reply, which includes the thoughts; returns whether it thinks."""
    longest = request.max_output_tokens or wiring.reply_tokens
    body["max_tokens"] = longest
    match wiring.traits.thinking:
        case Thinking.BUDGET:
            tokens = budget(request) or 0
            if tokens < _LEAST_BUDGET:
                return False
            if request.max_output_tokens is None:
                body["max_tokens"] = longest + tokens
            elif tokens >= longest:
                tokens = max(_LEAST_BUDGET, longest // 2)
                body["max_tokens"] = max(longest, tokens + 1)
            body["thinking"] = {"type": "enabled", "budget_tokens": tokens}
            return True
        case Thinking.ADAPTIVE:
            word = effort(request, wiring.traits.efforts)
            if word is None or request.effort == "none":
                return False
            body["thinking"] = {"type": "adaptive"}
            body["output_config"] = {"effort": word}
            return True
        case _:
            return False


def _conversation(
    request: ModelRequest, names: Names, *, system_turns: bool
) -> tuple[list[Block], list[Block]]:
    """The system's blocks, and the messages: results and what the user says behind them are one message."""
    system: list[Block] = []
    messages: list[Block] = []
    for message in shown_by_the_user(request.messages):
        if message.role == "system" and not (system_turns and messages):
            blocks: list[Block] = [{"type": "text", "text": message.text}] if message.text else []
            system.extend(_marked(blocks, message, request))
            continue
        role = "user" if message.role == "tool" else message.role
        blocks = _marked(
            [block for part in message.parts for block in _blocks(part, names)], message, request
        )
        if not blocks:
            continue
        last = messages[-1] if messages else {}
        if last.get("role") == role:
            cast("list[Block]", last["content"]).extend(blocks)
        else:
            messages.append({"role": role, "content": blocks})
    for turn in messages:
        content = cast("list[Block]", turn["content"])
        if len(content) == 1 and {*content[0]} == {"type", "text"}:
            turn["content"] = content[0]["text"]
    return system, messages


def _marked(blocks: list[Block], message: Message, request: ModelRequest) -> list[Block]:
    if message.cache:
        for block in reversed(blocks):
            if block["type"] not in _UNCACHEABLE:
                block["cache_control"] = _cache(request.cache_ttl_s or 0)
                break
    return blocks


def _cache(ttl_s: int) -> Block:
    return {"type": "ephemeral", "ttl": "1h" if ttl_s >= _HOUR_S else "5m"}


def _blocks(part: Part, names: Names) -> Iterator[Block]:
    """The block of a part, if it has one here."""
    match part:
        case Text():
            if part.text.strip():  # empty text is refused
                yield {"type": "text", "text": part.text}
        case Reasoning():
            if part.origin == NAME and part.signature:
                yield _thought(part)
        case ToolCall():
            arguments = {"malformed": part.malformed} if part.malformed else part.arguments
            yield {
                "type": "tool_use",
                "id": part.tool_call_id,
                "name": names.wire(part.name),
                "input": arguments,
            }
        case ToolResult():
            yield _result(part, names)
        case Image():
            yield {"type": "image", "source": _source(part)}
        case File():
            document: Block = {"type": "document", "source": _source(part)}
            yield {**document, "title": part.name} if part.name else document
        case Opaque():
            yield from [dict(part.item)] * (part.origin == NAME)


def _thought(part: Reasoning) -> Block:
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.signature}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _result(part: ToolResult, names: Names) -> Block:
    content: str | list[Block] = part.content
    attached = [block for one in part.attachments for block in _blocks(one, names)]
    if attached:
        content = [*_blocks(Text(text=part.content), names), *attached]
    block: Block = {"type": "tool_result", "tool_use_id": part.tool_call_id, "content": content}
    if part.is_error:
        block["is_error"] = True
    return block


def _source(part: Image | File) -> Block:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.url:
        return {"type": "url", "url": part.url}
    if part.media_type.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace")}
    return {"type": "base64", "media_type": part.media_type, "data": base64.b64encode(part.data).decode()}


def _tool_choice(request: ModelRequest, names: Names) -> Block | None:
    choice = request.tool_choice
    wire: Block = (
        {"type": "tool", "name": names.wire(choice.name)}
        if isinstance(choice, NamedTool)
        else {"type": _CHOICES[choice]}
    )
    if request.parallel_tool_calls is not None and choice != "none":
        wire["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return None if wire == {"type": "auto"} else wire
