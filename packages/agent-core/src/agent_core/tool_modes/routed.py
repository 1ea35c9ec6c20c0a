"""Routed mode, for the smallest models: similarity proposes the tool, the model fills one argument at a time.

Left alone, a 135M model picks the right tool for 25 to 40 % of simple prompts, schema or not. So the tool comes from
the runner's router (`ToolOffer.proposed`), each argument is asked for as a bare value under a constraint, with the
nearest examples as shots, and the answer is composed from the result by the skill's template.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from agent_core.chat import Choice, Constraint, Grammar, ModelRequest
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Usage, assistant, system, user
from agent_core.tool_modes.turn import Ask, Turn, TurnOutcome, TurnView
from agent_core.tools import ToolCall, ToolOffer, ToolResult

MAX_ANSWER_TOKENS = 160
MAX_VALUE_TOKENS = 48


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
    request = ModelRequest(
        messages=view.conversation(),
        max_output_tokens=MAX_ANSWER_TOKENS,
        temperature=0.0,
        repeat_penalty=1.1,
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
    choices = dict(offer.choices)
    for name, schema in _to_fill(offer, choices):
        request = ModelRequest(
            messages=_shots(offer, name, text),
            constraint=_constraint(schema, choices.get(name, ())),
            max_output_tokens=MAX_VALUE_TOKENS,
            temperature=0.0,
        )
        completion = yield Ask(request=request, visible=False)
        arguments[name] = _value(completion.message.text, schema)
        usage, model = usage + completion.usage, completion.model
    call = ToolCall(tool_call_id=f"call_{view.turn}", name=offer.spec.name, arguments=arguments)
    return TurnOutcome(
        message=Message(role="assistant", parts=(call,)),
        model=model,
        usage=usage,
        finish_reason=FinishReason.TOOL_CALLS,
    )


def _to_fill(
    offer: ToolOffer, choices: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The arguments to ask for: those required, and those for which the skill read choices from the request."""
    schema = offer.spec.parameters
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    required = cast("Sequence[str]", schema.get("required", ()))
    for name, argument in properties.items():
        if name in required or choices.get(name):
            yield name, argument


def _shots(offer: ToolOffer, argument: str, text: str) -> tuple[Message, ...]:
    messages = [system(f"Write the {argument} for {offer.spec.name}.")]
    for shot in reversed(offer.shots):
        if argument in shot.arguments:
            messages += [user(shot.utterance), assistant(str(shot.arguments[argument]))]
    return (*messages, user(text))


def _constraint(schema: JsonObject, choices: Sequence[str]) -> Constraint:
    if choices:
        return Choice(values=tuple(choices))
    enum = schema.get("enum")
    if isinstance(enum, list):
        return Choice(values=tuple(str(value) for value in cast("list[object]", enum)))
    return Grammar(gbnf=_GRAMMARS.get(str(schema.get("type")), _GRAMMARS["string"]))


_GRAMMARS = {
    "integer": 'root ::= "-"? [0-9]{1,15}',
    "number": 'root ::= "-"? [0-9]{1,15} ("." [0-9]{1,10})?',
    "boolean": 'root ::= "true" | "false"',
    "string": "root ::= [^\\n]{1,120}",
}


def _value(text: str, schema: JsonObject) -> object:
    match schema.get("type"):
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "boolean":
            return text == "true"
        case _:
            return text.strip()


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
    return template.format(**{**call.arguments, "result": result.content})
