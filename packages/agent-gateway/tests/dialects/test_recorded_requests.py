"""The recorded requests, read into our words by a simple reader and written again by the dialects: equal in meaning
to what was sent, and taken by the vendor's published schema where one is at hand.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.chat import JsonSchema, ModelRequest
from agent_core.messages import File, Message, Opaque, Part, Reasoning, Text
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_gateway.compat import COMPATS, Thinking, Traits
from agent_gateway.dialects.anthropic_messages import AnthropicMessages
from agent_gateway.dialects.dialect import Dialect, Wiring
from agent_gateway.dialects.gemini import Gemini
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.openai_responses import OpenAIResponses

SPEC = Path(__file__).parents[4].parent / "shared" / "specs" / "openai.json"


def spec_of(name: str, description: str | None, schema: dict[str, Any] | None) -> ToolSpec:
    return ToolSpec(name=name, description=description or "", parameters=schema or {})


def by_kind(wire: dict[str, Any], is_ours: Callable[[Any], bool]) -> tuple[list[Any], dict[str, Any]]:
    """The tools that our words can say, and the others as they stand; one without ours has no choice to say."""
    tools = wire.get("tools", [])
    own = [one for one in tools if is_ours(one)]
    foreign = {"tools": others} if (others := [one for one in tools if not is_ours(one)]) else {}
    if not own and "tool_choice" in wire:
        foreign["tool_choice"] = wire["tool_choice"]
    return own, foreign


def tools_of(wire: dict[str, Any]) -> list[dict[str, Any]]:
    """In one order, and without what our words leave out of a plain tool."""
    listed = [{"description": "", **one, "strict": None} for one in wire.get("tools", ())]
    return sorted(listed, key=json.dumps)


def plain(content: Any) -> str:
    """Text as it may be written: a string, nothing, or a list of texts."""
    if isinstance(content, list):
        assert {part["type"] for part in content} <= {"text", "input_text", "output_text"}, content
        return "".join(part["text"] for part in content)
    return content or ""


# Chat Completions


def chat_words(wire: dict[str, Any]) -> ModelRequest:
    known = {
        "messages",
        "model",
        "tools",
        "tool_choice",
        "stream",
        "stream_options",
        "stop",
        "reasoning_effort",
        "n",
    }
    return ModelRequest(
        messages=[chat_message(one) for one in wire["messages"]],
        tools=[
            spec_of(
                one["function"]["name"], one["function"].get("description"), one["function"].get("parameters")
            )
            for one in wire.get("tools", ())
        ],
        tool_choice=wire.get("tool_choice", "auto"),
        stop=tuple(wire.get("stop", ())),
        effort=wire.get("reasoning_effort"),
        extra={name: value for name, value in wire.items() if name not in known},
    )


def chat_message(one: dict[str, Any]) -> Message:
    if one["role"] == "tool":
        return Message(
            role="tool", parts=(ToolResult(tool_call_id=one["tool_call_id"], content=one["content"]),)
        )
    parts: list[Part] = []
    if one.get("reasoning_content"):
        parts.append(Reasoning(text=one["reasoning_content"]))
    if one.get("content"):
        parts.append(Text(text=plain(one["content"])))
    for call in one.get("tool_calls", ()):
        arguments = json.loads(call["function"]["arguments"])
        parts.append(ToolCall(tool_call_id=call["id"], name=call["function"]["name"], arguments=arguments))
    return Message(role=one["role"], parts=tuple(parts))


def chat_meaning(wire: dict[str, Any]) -> dict[str, Any]:
    meaning = {key: value for key, value in wire.items() if key not in {"n", "stream_options"}}
    meaning["stream"] = wire.get("stream", False)
    meaning["tool_choice"] = wire.get("tool_choice", "auto")
    meaning["tools"] = [
        {key: value for key, value in one["function"].items() if key != "strict"}
        for one in wire.get("tools", ())
    ]
    meaning["messages"] = [
        {
            **one,
            "content": plain(one.get("content")),
            "tool_calls": [
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in one.get("tool_calls", ())
            ],
        }
        for one in wire["messages"]
    ]
    return meaning


# Responses


def responses_words(wire: dict[str, Any]) -> ModelRequest:
    known = {
        "input",
        "model",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "stream",
        "include",
    }
    instructions = (
        [Message(role="system", parts=(Text(text=wire["instructions"]),))] if "instructions" in wire else []
    )
    own, foreign = by_kind(wire, lambda one: one["type"] == "function" and "defer_loading" not in one)
    return ModelRequest(
        messages=[*instructions, *(responses_message(one) for one in items_of(wire))],
        tools=[spec_of(one["name"], one.get("description"), one.get("parameters")) for one in own],
        tool_choice=wire.get("tool_choice", "auto"),
        parallel_tool_calls=wire.get("parallel_tool_calls"),
        extra={**foreign, **{name: value for name, value in wire.items() if name not in known}},
    )


def items_of(wire: dict[str, Any]) -> list[dict[str, Any]]:
    given = wire["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def responses_message(one: dict[str, Any]) -> Message:
    origin = "openai_responses"
    match one.get("type", "message"):
        case "function_call":
            arguments = json.loads(one["arguments"])
            part: Part = ToolCall(
                tool_call_id=one["call_id"],
                name=one["name"],
                arguments=arguments,
                namespace=one.get("namespace", ""),
            )
        case "function_call_output":
            result = ToolResult(tool_call_id=one["call_id"], content=one["output"])
            return Message(role="tool", parts=(result,))
        case "reasoning":
            pieces = [(piece["text"], True) for piece in one["summary"]]
            pieces += [(piece["text"], False) for piece in one.get("content") or ()]
            seal = one.get("encrypted_content") or ""
            thoughts = [
                Reasoning(text=text, summary=summary, signature=seal, item_id=one["id"], origin=origin)
                for text, summary in pieces or [("", True)]
            ]
            return Message(role="assistant", parts=tuple(thoughts))
        case "message":
            role = {"developer": "system"}.get(one["role"], one["role"])
            text = Text(text=plain(one["content"]), phase=one.get("phase", ""))
            return Message(role=role, parts=(text,))
        case _:
            part = Opaque(origin=origin, item=one)
    return Message(role="assistant", parts=(part,))


def responses_meaning(wire: dict[str, Any]) -> dict[str, Any]:
    meaning = {key: value for key, value in wire.items() if key not in {"include", "store", "input"}}
    meaning["stream"] = wire.get("stream", False)
    meaning["tool_choice"] = wire.get("tool_choice", "auto")
    meaning["tools"] = tools_of(wire)
    said: list[Any] = []
    for one in items_of(wire):
        if one.get("type", "message") == "message":
            role = {"developer": "system"}.get(one["role"], one["role"])
            item: dict[str, Any] = {
                "role": role,
                "text": plain(one["content"]),
                "phase": one.get("phase", ""),
            }
        else:
            item = {key: value for key, value in one.items() if key != "status" and value is not None}
            if one["type"] == "function_call":
                item = {**item, "arguments": json.loads(one["arguments"]), "id": None}
        said.append(item)
    leading = "\n\n".join(one["text"] for one in said[: leading_system(said)])
    meaning["instructions"] = "\n\n".join(text for text in (wire.get("instructions", ""), leading) if text)
    meaning["input"] = said[leading_system(said) :]
    return meaning


def leading_system(said: list[Any]) -> int:
    return next((place for place, one in enumerate(said) if one.get("role") != "system"), len(said))


# Anthropic Messages


def anthropic_words(wire: dict[str, Any]) -> ModelRequest:
    known = {"messages", "model", "system", "tools", "tool_choice", "max_tokens", "stream", "cache_control"}
    known |= {"temperature", "top_k"}
    own, foreign = by_kind(wire, lambda one: not {"type", "defer_loading"} & {*one})
    system = wire.get("system") or []
    texts = [system] if isinstance(system, str) else [one["text"] for one in system]
    config = dict(wire.get("output_config") or {})
    shape = config.pop("format", None)
    budget = (wire.get("thinking") or {}).get("budget_tokens")
    effort = config.get("effort") if "thinking" in wire else None
    if budget or effort:
        known |= {"thinking", "output_config"}
    rest = {**wire, "output_config": config}
    cache = wire.get("cache_control")
    return ModelRequest(
        messages=[
            *(Message(role="system", parts=(Text(text=text),)) for text in texts),
            *(part for one in wire["messages"] for part in anthropic_messages(one)),
        ],
        tools=[spec_of(one["name"], one.get("description"), one["input_schema"]) for one in own],
        tool_choice={"any": "required"}.get(kind := wire.get("tool_choice", {}).get("type", "auto"), kind),
        max_output_tokens=wire["max_tokens"],
        temperature=wire.get("temperature"),
        top_k=wire.get("top_k"),
        reasoning_tokens=budget,
        effort={"xhigh": "max"}.get(effort, effort) if effort else None,
        cache_ttl_s=cache and {"5m": 300, "1h": 3_600}[cache["ttl"]],
        constraint=JsonSchema(schema=shape["schema"]) if shape else None,
        extra={**foreign, **{name: value for name, value in rest.items() if name not in known and value}},
    )


def anthropic_messages(one: dict[str, Any]) -> Iterator[Message]:
    """A message up to each mark of what is to be cached, and one for the rest: side by side they are one again."""
    content = one["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    role = "tool" if any(block["type"] == "tool_result" for block in content) else one["role"]
    parts: list[Part] = []
    for block in content:
        parts.append(anthropic_part(block))
        if "cache_control" in block:
            yield Message(role=role, parts=tuple(parts), cache=True)
            parts = []
    if parts:
        yield Message(role=role, parts=tuple(parts))


def parted(content: Any) -> tuple[str, tuple[Opaque, ...]]:
    """The text of a result, and what stands beside it."""
    if not isinstance(content, list):
        return content or "", ()
    others = [block for block in content if block["type"] != "text"]
    text = "".join(block["text"] for block in content if block["type"] == "text")
    return text, tuple(Opaque(origin="anthropic_messages", item=block) for block in others)


def anthropic_part(block: dict[str, Any]) -> Part:
    origin = "anthropic_messages"
    match block["type"]:
        case "text":
            return Text(text=block["text"])
        case "thinking":
            return Reasoning(text=block["thinking"], signature=block["signature"], origin=origin)
        case "redacted_thinking":
            return Reasoning(text="", signature=block["data"], redacted=True, origin=origin)
        case "tool_use":
            return ToolCall(tool_call_id=block["id"], name=block["name"], arguments=block["input"])
        case "tool_result":
            error = "failed" if block.get("is_error") else ""
            content, attached = parted(block["content"])
            return ToolResult(
                tool_call_id=block["tool_use_id"], content=content, error=error, attachments=attached
            )
        case "document" if block["source"]["type"] == "url":
            return File(url=block["source"]["url"])
        case _:
            return Opaque(origin=origin, item=block)


def anthropic_meaning(wire: dict[str, Any]) -> dict[str, Any]:
    meaning = {key: value for key, value in wire.items() if key != "tools"}
    meaning["stream"] = wire.get("stream", False)
    meaning["tool_choice"] = wire.get("tool_choice", {"type": "auto"})
    meaning["tools"] = tools_of(wire)
    system = wire.get("system") or []
    meaning["system"] = system if isinstance(system, str) else "".join(one["text"] for one in system)
    turns: list[tuple[str, list[Any]]] = []
    for one in wire["messages"]:
        content = one["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [
            {**block, "content": parted(block["content"]), "is_error": block.get("is_error", False)}
            if block["type"] == "tool_result"
            else block
            for block in blocks
        ]
        if turns and turns[-1][0] == one["role"]:
            turns[-1][1].extend(blocks)
        else:
            turns.append((one["role"], list(blocks)))
    meaning["messages"] = turns
    if (wire.get("thinking") or {}).get("display"):  # the default
        meaning["thinking"] = {"type": "adaptive"}
    return meaning


# Gemini


def gemini_words(wire: dict[str, Any]) -> ModelRequest:
    system = [part["text"] for part in wire.get("systemInstruction", {}).get("parts", ())]
    listed = wire.get("tools", ())
    declared = [tool for tools in listed for tool in tools.get("functionDeclarations", ())]
    mode = wire.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode", "AUTO")
    foreign = [tools for tools in listed if "functionDeclarations" not in tools]
    extra: dict[str, Any] = {"tools": foreign} if foreign else {}
    if mode == "VALIDATED":
        extra["toolConfig"] = {"functionCallingConfig": {"mode": mode}}
    config = wire.get("generationConfig", {})
    schema = config.get("responseJsonSchema")
    return ModelRequest(
        messages=[
            *(Message(role="system", parts=(Text(text=text),)) for text in system),
            *(gemini_message(one) for one in wire["contents"]),
        ],
        tools=[spec_of(one["name"], one["description"], one["parameters_json_schema"]) for one in declared],
        tool_choice="required" if mode == "ANY" else "auto",
        constraint=JsonSchema(schema=schema) if schema else None,
        reasoning_tokens=config.get("thinkingConfig", {}).get("thinking_budget"),
        extra=extra,
    )


def gemini_message(one: dict[str, Any]) -> Message:
    parts: list[Part] = []
    for part in one["parts"]:
        seal = part.get("thoughtSignature", "")
        if "functionCall" in part:
            call = part["functionCall"]
            parts.append(
                ToolCall(tool_call_id=call["id"], name=call["name"], arguments=call["args"], signature=seal)
            )
        elif "functionResponse" in part:
            result = part["functionResponse"]
            parts.append(ToolResult(tool_call_id=result["id"], content=json.dumps(result["response"])))
        else:
            parts.append(Text(text=part["text"], signature=seal))
    role = "tool" if any(isinstance(part, ToolResult) for part in parts) else "user"
    return Message(role="assistant" if one["role"] == "model" else role, parts=tuple(parts))


def gemini_meaning(wire: dict[str, Any]) -> dict[str, Any]:
    config = {
        key: value for key, value in wire.get("generationConfig", {}).items() if key != "responseModalities"
    }
    budget = (config.pop("thinkingConfig", {}) or {}).items()
    turns: list[tuple[str, list[Any]]] = []
    for one in wire["contents"]:
        parts = [gemini_part(part) for part in one["parts"]]
        if turns and turns[-1][0] == one["role"]:
            turns[-1][1].extend(parts)
        else:
            turns.append((one["role"], parts))
    listed = wire.get("tools", ())
    declared = [tool for tools in listed for tool in tools.get("functionDeclarations", ())]
    schema_of = ("parameters_json_schema", "parametersJsonSchema")
    return {
        "contents": turns,
        "system": "".join(part["text"] for part in wire.get("systemInstruction", {}).get("parts", ())),
        "tools": [
            (one["name"], one["description"], next(one[key] for key in schema_of if key in one))
            for one in declared
        ],
        "other tools": [tools for tools in listed if "functionDeclarations" not in tools],
        "mode": wire.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode", "AUTO"),
        "config": config,
        "budget": {value for key, value in budget if "udget" in key},
    }


def gemini_part(part: dict[str, Any]) -> Any:
    """A result as what it says: any object stands for it."""
    if "functionResponse" not in part:
        return part
    result = part["functionResponse"]
    inner = result["response"]
    return result["id"], result["name"], json.loads(inner["output"]) if {*inner} == {"output"} else inner


Words = Callable[[dict[str, Any]], ModelRequest]
Meaning = Callable[[dict[str, Any]], dict[str, Any]]
ADAPTIVE = Traits(thinking=Thinking.ADAPTIVE, efforts=("low", "medium", "high", "xhigh"), system_turns=True)
BUDGET = Traits(thinking=Thinking.BUDGET, system_turns=True)
EFFORT = Traits(thinking=Thinking.EFFORT, efforts=("none", "minimal", "low", "medium", "high"))

FORMATS: dict[str, tuple[Dialect, Words, Meaning, str, int]] = {
    "/chat/completions": (OpenAIChat(), chat_words, chat_meaning, "CreateChatCompletionRequest", 66),
    "/responses": (OpenAIResponses(), responses_words, responses_meaning, "CreateResponse", 34),
    "/messages": (AnthropicMessages(), anthropic_words, anthropic_meaning, "", 124),
    "enerateContent": (Gemini(), gemini_words, gemini_meaning, "", 17),
}


def traits_for(wire: dict[str, Any]) -> Traits:
    if "thinking" not in wire and "generationConfig" not in wire:
        return EFFORT if "max_tokens" not in wire else ADAPTIVE
    return ADAPTIVE if (wire.get("thinking") or {}).get("type") == "adaptive" else BUDGET


@pytest.fixture(params=FORMATS)
def again(request: pytest.FixtureRequest, recorded: list[dict[str, Any]]) -> Any:
    """Each recorded request of a format, and how it is written again."""
    dialect, words, meaning, schema, expected = FORMATS[request.param]
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for one in recorded:
        wire = one["request"]
        if not one["path"].endswith(request.param):
            continue
        said = words(wire)
        compat = COMPATS["deepseek" if "deepseek" in one["provider"] else "openai"]
        wiring = Wiring(
            model=wire.get("model", "m"),
            compat=compat,
            traits=traits_for(wire),
            stream=wire.get("stream", False),
        )
        pairs.append((wire, json.loads(dialect.encode(said, wiring).body)))
    assert len(pairs) == expected
    return meaning, schema, pairs


def test_a_request_means_the_same_when_it_is_said_again(again: Any) -> None:
    meaning, _, pairs = again
    for wire, written in pairs:
        assert meaning(written) == meaning(wire)


def test_the_vendors_schema_takes_what_is_written(again: Any) -> None:
    _, schema, pairs = again
    if not schema:
        pytest.skip("no published schema of this format is at hand")
    if not SPEC.exists():
        pytest.skip("no specifications beside the repository")
    jsonschema = pytest.importorskip("jsonschema")
    components = json.loads(SPEC.read_text(encoding="utf-8"))["components"]
    root = {"$ref": f"#/components/schemas/{schema}", "components": components}
    validator = jsonschema.Draft202012Validator(root)
    for wire, written in pairs:
        wrong = [error for error in validator.iter_errors(written) if error.json_path != "$.service_tier"]
        assert wrong == [], wire
