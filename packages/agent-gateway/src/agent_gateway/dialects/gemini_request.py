"""The requests of Gemini generateContent; the replies are in `gemini`. Pure."""

import base64
from collections.abc import Iterator
from typing import cast

from agent_core.chat import Choice, Grammar, JsonSchema, ModelRequest, NamedTool
from agent_core.messages import File, Image, Message, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolResult
from agent_gateway.compat import Thinking
from agent_gateway.dialects.dialect import Wiring
from agent_gateway.dialects.extras import add_extra
from agent_gateway.dialects.thinking import budget, effort
from agent_gateway.dialects.tool_names import Names
from agent_gateway.errors import ConstraintUnsupportedError

NAME = "gemini"
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_UNSEALED = base64.b64encode(b"skip_thought_signature_validator").decode()
"""What Google gives as the seal of a call that another model made (ai.google.dev, thought signatures, 2026-11)."""

Block = dict[str, object]


def encode_request(request: ModelRequest, wiring: Wiring) -> Block:
    """The body of a request, as JSON values.

    Raises:
        ConstraintUnsupportedError: Gemini has no grammars.
    """
    names = Names(request.tools)
    contents = _Contents(names, sealed=wiring.traits.sealed_calls)
    system = "\n\n".join(one.text for one in request.messages if one.role == "system" and one.text)
    for message in request.messages:
        if message.role != "system":
            contents.add(message)
    body: Block = {"contents": contents.listed}
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    if request.tools:
        declared = [
            {
                "name": names.wire(tool.name),
                "description": tool.description,
                "parametersJsonSchema": tool.parameters,
            }
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
        body["toolConfig"] = {"functionCallingConfig": _calling(request, names)}
    config = _generation(request, wiring)
    if config:
        body["generationConfig"] = config
    add_extra(body, request.extra)
    return body


def _calling(request: ModelRequest, names: Names) -> Block:
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        return {"mode": "ANY", "allowedFunctionNames": [names.wire(choice.name)]}
    return {"mode": _MODES[choice]}


def _generation(request: ModelRequest, wiring: Wiring) -> Block:
    given = {
        "maxOutputTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": request.seed,
        "stopSequences": list(request.stop) or None,
        "thinkingConfig": _thinking(request, wiring),
    }
    config: Block = {name: value for name, value in given.items() if value is not None}
    match request.constraint:
        case JsonSchema():
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = request.constraint.schema
        case Choice():
            config["responseMimeType"] = "text/x.enum"
            config["responseSchema"] = {"type": "STRING", "enum": list(request.constraint.values)}
        case Grammar():
            raise ConstraintUnsupportedError(wiring.model, "grammar")
        case None:
            pass
    return config


def _thinking(request: ModelRequest, wiring: Wiring) -> Block | None:
    match wiring.traits.thinking:
        case Thinking.BUDGET:
            tokens = budget(request)
            return None if tokens is None else {"thinkingBudget": tokens, "includeThoughts": tokens != 0}
        case Thinking.EFFORT | Thinking.ADAPTIVE:
            word = effort(request, wiring.traits.efforts)
            return None if word is None else {"thinkingLevel": word, "includeThoughts": True}
        case Thinking.NONE:
            return None


class _Contents:
    """The contents of a request: turns of the user and of the model, by turns."""

    def __init__(self, names: Names, *, sealed: bool) -> None:
        self.listed: list[Block] = []
        self._names = names
        self._sealed = sealed
        self._called: dict[str, str] = {}
        """Wire names by call: a result names the function that it is of."""

    def add(self, message: Message) -> None:
        """One message more."""
        role = "model" if message.role == "assistant" else "user"
        parts = [block for part in message.parts for block in self._blocks(part)]
        if role == "model" and self._sealed:
            first = next((part for part in parts if "functionCall" in part), None)
            if first is not None:
                first.setdefault("thoughtSignature", _UNSEALED)
        last = self.listed[-1] if self.listed else {}
        if last.get("role") == role:
            cast("list[Block]", last["parts"]).extend(parts)
        elif parts:
            self.listed.append({"role": role, "parts": parts})

    def _blocks(self, part: Part) -> Iterator[Block]:
        match part:
            case Text():
                if part.text or part.signature:
                    yield _sealed({"text": part.text}, part.signature)
            case Reasoning():
                if part.origin == NAME and part.signature:
                    yield _sealed({"text": part.text, "thought": True}, part.signature)
            case ToolCall():
                yield self._call(part)
            case ToolResult():
                yield from self._result(part)
            case Image() | File():
                yield _media(part)
            case Opaque():
                if part.origin == NAME:
                    yield dict(part.item)

    def _result(self, result: ToolResult) -> Iterator[Block]:
        """What is attached follows the result: only the newest models take it inside."""
        name = self._called.get(result.tool_call_id, "unknown")
        response = {"error" if result.is_error else "output": result.content}
        yield {"functionResponse": {"id": result.tool_call_id, "name": name, "response": response}}
        for one in result.attachments:
            yield from self._blocks(one)

    def _call(self, call: ToolCall) -> Block:
        name = self._called[call.tool_call_id] = self._names.wire(call.name)
        arguments = {"malformed": call.malformed} if call.malformed else call.arguments
        wire: Block = {"functionCall": {"id": call.tool_call_id, "name": name, "args": arguments}}
        return _sealed(wire, call.signature)


def _sealed(wire: Block, signature: str) -> Block:
    if signature:
        wire["thoughtSignature"] = signature
    return wire


def _media(part: Image | File) -> Block:
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode()}}
    return {"fileData": {"mimeType": part.media_type, "fileUri": part.url or part.file_id}}
