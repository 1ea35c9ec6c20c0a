"""Constrained mode: for models that follow a JSON schema better than a tool format.

The reply is held to `{"tool": name, "arguments": {...}}` or `{"answer": text}`, so a call is always valid. Measured:
a 0.5B model picked the right tool for 19 of 20 prompts with four shots; a 135M model for 30 %: that one is routed.

Any engine or server will do that takes a JSON schema; what it takes at most is in the profile (`SchemaLimits`).
"""

from collections.abc import Iterator, Sequence

import msgspec

from agent_core.chat import Completion, JsonSchema, ModelRequest
from agent_core.json_types import JsonObject
from agent_core.messages import Message, assistant
from agent_core.tool_modes.call_schema import bounded, closed, size_bytes, written
from agent_core.tool_modes.turn import Ask, Turn, TurnOutcome, TurnView, readable
from agent_core.tools import ToolCall, ToolOffer

MAX_ANSWER_CHARS = 2_000
MAX_SHOTS = 6
GREETING = 'Hello! -> {"answer": "Hello! How can I help?"}'


def constrained(view: TurnView) -> Turn:
    """One question, held to the union of the offered tools and an answer; without tools, a free answer."""
    if not view.offers:
        shape = None if view.answer_schema is None else JsonSchema(schema=view.answer_schema)
        request = ModelRequest(messages=readable(view.conversation()), constraint=shape)
        completion = yield Ask(request=request)
        return _outcome(completion, completion.message)
    offers = _fitting(view)
    request = ModelRequest(
        messages=readable(view.conversation(_preface(offers, view))),
        constraint=JsonSchema(schema=_union(offers, view), name="tool_or_answer"),
    )
    completion = yield Ask(request=request, visible=False)
    return _outcome(completion, _parsed(completion.message.text, view))


def _outcome(completion: Completion, message: Message) -> TurnOutcome:
    return TurnOutcome(
        message=message,
        model=completion.model,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
    )


def _fitting(view: TurnView) -> Sequence[ToolOffer]:
    """The best offers that the engine takes together; the best one stays, whatever its size."""
    limits = view.profile.schema_limits
    fitting = view.offers[: limits.tools]
    while len(fitting) > 1 and size_bytes(_union(fitting, view)) > limits.size_bytes:
        fitting = fitting[:-1]
    return fitting


def _union(offers: Sequence[ToolOffer], view: TurnView) -> JsonObject:
    limits = view.profile.schema_limits
    shapes: list[JsonObject] = [
        closed({"tool": {"const": offer.spec.name}, "arguments": bounded(offer.spec.parameters, limits)})
        for offer in offers
    ]
    if not view.must_call:
        text: JsonObject = {"type": "string", "minLength": 1, "maxLength": MAX_ANSWER_CHARS}
        shapes.append(closed({"answer": text if view.answer_schema is None else view.answer_schema}))
    union: JsonObject = {"anyOf": shapes}
    return union if limits.union_root else closed({"reply": union})


def _preface(offers: Sequence[ToolOffer], view: TurnView) -> str:
    tools = "\n".join(
        f"- {offer.spec.name}: {offer.spec.description} Arguments: {written(offer.spec.parameters)}"
        for offer in offers
    )
    around = "" if view.profile.schema_limits.union_root else ' Put that object into {"reply": ...}.'
    return f"{_choice(view)}{around}{_advice(view)}\n\nTools:\n{tools}" + _examples(offers, view)


def _choice(view: TurnView) -> str:
    call = 'Reply with one JSON object. To use a tool: {"tool": name, "arguments": {...}}.'
    return call if view.must_call else f'{call} To answer the person: {{"answer": text}}.'


def _advice(view: TurnView) -> str:
    if view.must_call:
        return " Use a tool now."
    return " Use a tool only where it helps; once its result is there, answer with it."


def _examples(offers: Sequence[ToolOffer], view: TurnView) -> str:
    shots = [*_shots(offers)] if view.must_call else [GREETING, *_shots(offers)]
    return "\n\nExamples:\n" + "\n".join(shots) if shots else ""


def _shots(offers: Sequence[ToolOffer]) -> Iterator[str]:
    shown = [(offer, shot) for offer in offers for shot in (offer.shots or offer.spec.examples)[:1]]
    for offer, shot in shown[:MAX_SHOTS]:
        call = {"tool": offer.spec.name, "arguments": shot.arguments}
        yield f"{shot.utterance} -> {written(call)}"


class _Reply(msgspec.Struct):
    tool: str = ""
    arguments: dict[str, object] = {}
    answer: object = ""
    reply: "_Reply | None" = None


def _parsed(text: str, view: TurnView) -> Message:
    """The reply as a message; text that is no such object (cut off at the token limit) stands as the answer."""
    try:
        reply = msgspec.json.decode(text, type=_Reply)
    except msgspec.DecodeError:
        return assistant(text)
    reply = reply.reply or reply
    if reply.tool:
        call = ToolCall(tool_call_id=f"call_{view.turn}", name=reply.tool, arguments=reply.arguments)
        return Message(role="assistant", parts=(call,))
    if view.answer_schema is not None and reply.answer != "":
        return assistant(msgspec.json.encode(reply.answer).decode())
    return assistant(reply.answer if isinstance(reply.answer, str) and reply.answer else text)
