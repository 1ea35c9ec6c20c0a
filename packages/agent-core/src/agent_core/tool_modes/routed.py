"""Routed mode, for the smallest models: similarity proposes the tool, the model fills one argument at a time.

Left alone, a 135M model picks the right tool for 25 to 40 % of simple prompts, schema or not. So the tool comes from
the runner's router (`ToolOffer.proposed`), each argument is asked for as a bare value under a constraint, behind
lines of `request => value` for the nearest examples, and the answer is composed from the result by the skill's
template. Lines that the model continues worked better than turns of a chat, and are read faster.

A list, an object, and anything where the profile says that the engine takes JSON schemas alone, is asked for as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import cast

import msgspec

from agent_core.chat import Choice, Constraint, Grammar, JsonSchema, ModelProfile, ModelRequest
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Usage, assistant, system, user
from agent_core.tool_modes.call_schema import bounded, closed
from agent_core.tool_modes.turn import Ask, Turn, TurnOutcome, TurnView, readable
from agent_core.tools import Reading, ToolCall, ToolOffer, ToolResult

MAX_ANSWER_TOKENS = 120
MAX_VALUE_TOKENS = 48
MAX_JSON_TOKENS = 256
MAX_SHOTS = 8
REPEAT_PENALTY = 1.1
"""Of a free answer. Asked alone, a 135M model wrote to its limit for 5 of 11 simple prompts, for 1 of them with this."""
JSON_REQUEST = 'Go on with the last line. Reply with the value alone, as the JSON object {"value": ...}.'

SMALL_TALK = (
    ("hello", "Hello! How can I help you?"),
    ("What is the capital of Germany?", "The capital of Germany is Berlin."),
    ("vbnm tyu zzk", "Sorry, I did not understand that. Could you say it in other words?"),
    ("I feel great today", "That is nice to hear!"),
    ("Who wrote Hamlet?", "Hamlet was written by William Shakespeare."),
    ("thanks", "You are welcome!"),
    ("??!", "Sorry, I did not understand that. Could you say it in other words?"),
    (
        "Tell me something about dogs",
        "Dogs are loyal animals that have lived with people for thousands of years.",
    ),
)
"""Turns that come before every free answer: they halve its length and lift simple knowledge from 6 to 9 of 10. Always
the same, so that the engine reads them once."""


def routed(view: TurnView) -> Turn:
    """Results are composed into an answer, a proposed tool is called, anything else the model answers freely."""
    last = view.messages[-1]
    if last.role == "tool":
        message = assistant(_composed(view, last.tool_results))
        return TurnOutcome(message=message, model=view.profile.name)
    offer = next((offer for offer in view.offers if offer.proposed), None)
    if offer is None:
        return (yield from _answered(view))
    return (yield from _called(view, offer, last.text))


def _answered(view: TurnView) -> Turn:
    examples = [turn for asked, said in SMALL_TALK for turn in (user(asked), assistant(said))]
    instructions = (system(view.instructions),) if view.instructions else ()
    request = ModelRequest(
        messages=(*instructions, *examples, *readable(view.messages)),
        max_output_tokens=MAX_ANSWER_TOKENS,
        temperature=0.0,
        repeat_penalty=REPEAT_PENALTY,
    )
    completion = yield Ask(request=request)
    return TurnOutcome(
        message=completion.message,
        model=completion.model,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
    )


def _called(view: TurnView, offer: ToolOffer, text: str) -> Turn:
    arguments: dict[str, object] = {}
    usage, model = Usage(), view.profile.name
    readings = {reading.argument: reading for reading in offer.readings}
    for name, schema in _to_fill(offer, readings):
        lines, reading = _lines(offer, name, offer.request or text), readings.get(name)
        if view.profile.grammars and (reading is not None or _is_bare(schema)):
            completion = yield Ask(request=_bare(lines, schema, reading), visible=False)
            arguments[name] = _value(completion.message.text.strip(), schema)
        else:
            completion = yield Ask(
                request=_as_json(lines, schema, reading, offer, view.profile), visible=False
            )
            arguments[name] = _from_json(completion.message.text)
        usage, model = usage + completion.usage, completion.model
    call = ToolCall(tool_call_id=f"call_{view.turn}", name=offer.spec.name, arguments=arguments)
    return TurnOutcome(
        message=Message(role="assistant", parts=(call,)),
        model=model,
        usage=usage,
        finish_reason=FinishReason.TOOL_CALLS,
    )


def _to_fill(offer: ToolOffer, readings: Mapping[str, Reading]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The arguments to ask for: those required, and those for which the skill read values in the request."""
    schema = offer.spec.parameters
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    required = cast("Sequence[str]", schema.get("required", ()))
    for name, argument in properties.items():
        if name in required or name in readings:
            yield name, argument


def _lines(offer: ToolOffer, argument: str, request: str) -> str:
    """The shots, the nearest last, and the request for the model to go on with. In lower case, as people type."""
    shots = [shot for shot in offer.shots if argument in shot.arguments][:MAX_SHOTS]
    lines = [f"{_one_line(shot.utterance)} => {shot.arguments[argument]}\n" for shot in reversed(shots)]
    return "".join(lines) + f"{_one_line(request)} => "


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())


def _bare(lines: str, schema: JsonObject, reading: Reading | None) -> ModelRequest:
    """The value as it stands, behind the lines."""
    return ModelRequest(
        messages=(user(lines),),
        raw=True,
        constraint=_constraint(schema, reading),
        max_output_tokens=MAX_VALUE_TOKENS,
        temperature=0.0,
        stop=("\n",),
    )


def _as_json(
    lines: str, schema: JsonObject, reading: Reading | None, offer: ToolOffer, profile: ModelProfile
) -> ModelRequest:
    """The value in `{"value": ...}`, which every engine with JSON schemas can be held to."""
    value = bounded(schema, profile.schema_limits) if reading is None else {"enum": list(reading.values)}
    shape: dict[str, object] = {**closed({"value": value})}
    if "$defs" in offer.spec.parameters:  # an argument may refer to them
        shape["$defs"] = offer.spec.parameters["$defs"]
    return ModelRequest(
        messages=(user(f'{JSON_REQUEST}\n\n{lines}{{"value":'),),
        constraint=JsonSchema(schema=shape, name="value"),
        max_output_tokens=MAX_JSON_TOKENS,
        temperature=0.0,
    )


def _is_bare(schema: JsonObject) -> bool:
    return "enum" in schema or schema.get("type") in _GRAMMARS


def _constraint(schema: JsonObject, reading: Reading | None) -> Constraint:
    if reading is not None:
        return Choice(values=reading.values, log_weights=reading.log_weights)
    enum = schema.get("enum")
    if isinstance(enum, list):
        return Choice(values=tuple(str(value) for value in cast("list[object]", enum)))
    return Grammar(gbnf=_GRAMMARS[str(schema["type"])])


_GRAMMARS = {
    "integer": 'root ::= "-"? [0-9]{1,15}',
    "number": 'root ::= "-"? [0-9]{1,15} ("." [0-9]{1,10})?',
    "boolean": 'root ::= "true" | "false"',
    "string": "root ::= [^\\n]{1,120}",
}


def _value(text: str, schema: JsonObject) -> object:
    """The text as the schema's type; text that does not fit stays text, and the skill says what is wrong with it."""
    if schema.get("type") in {"integer", "number", "boolean"}:
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(text)
    return text


class _Held(msgspec.Struct):
    value: object = None


def _from_json(text: str) -> object:
    """The value; text that was cut off stays text, and the skill says what is wrong with it."""
    try:
        return msgspec.json.decode(text, type=_Held).value
    except msgspec.DecodeError:
        return text


def _composed(view: TurnView, results: Sequence[ToolResult]) -> str:
    calls = {call.tool_call_id: call for message in view.messages for call in message.tool_calls}
    templates = {offer.spec.name: offer.spec.answer for offer in view.offers}
    return "\n".join(_sentence(result, calls.get(result.tool_call_id), templates) for result in results)


def _sentence(result: ToolResult, call: ToolCall | None, templates: Mapping[str, str]) -> str:
    if call is None:
        return result.content
    if result.is_error:
        return f"I could not do that: {result.content}"
    template = templates.get(call.name) or "{result}"
    return template.format_map(_Filled({**call.arguments, "result": result.content}))


class _Filled(dict[str, object]):
    """What a template may name; an argument that was left out is empty."""

    def __missing__(self, key: str) -> str:
        return ""
