"""A plan as a model proposes it: the tool `plan`, and how its call is read. Pure.

The call is answered by one result, once the plan is over: a JSON object from the id of each call to
`{"result": ...}` or `{"error": code, "reason": text}`. So a conversation with plans is one that every provider knows:
a message that calls one tool, then one result. A plan that cannot be read is a call that failed as `invalid_plan`.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent_core import planning
from agent_core.messages import Message
from agent_core.planning import Calls
from agent_core.tools import ToolCall, ToolExample, ToolOffer, ToolSpec

NAME = "plan"
MAX_ID_CHARS = 64

DESCRIPTION = (
    "Make several tool calls at once, where some need the results of others. Give each call an id of your own. "
    'Inside arguments, {"$ref": "id"} stands for the whole result of the call of that id, and '
    '{"$ref": "id", "path": "items.0.name"} for a part of a result that is JSON. Calls that need nothing from each '
    "other run at the same time; `after` makes a call wait without taking a result. You get the outcome of every call. "
    "A later plan may refer to calls of earlier ones that succeeded, and a call that is repeated in it unchanged is not "
    "made again. For a single call, or calls that do not need each other, call the tools directly."
)
_EXAMPLE = ToolExample(
    utterance="Look up the order of customer c42 and then where it is.",
    arguments={
        "calls": [
            {"id": "order", "tool": "find_order", "arguments": {"customer": "c42"}},
            {"id": "place", "tool": "track", "arguments": {"number": {"$ref": "order", "path": "number"}}},
        ]
    },
)


def with_plan(offers: Sequence[ToolOffer]) -> Sequence[ToolOffer]:
    """The offers and the tool `plan` behind them, whose calls may be of these tools. None: nothing to plan with."""
    others = [offer for offer in offers if offer.spec.name != NAME]
    if not others:
        return offers
    node: dict[str, object] = {
        "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
        "tool": {"enum": [offer.spec.name for offer in others]},
        "arguments": {"type": "object"},
        "after": {"type": "array", "items": {"type": "string"}},
    }
    call = {"type": "object", "properties": node, "required": ["id", "tool", "arguments"]}
    calls = {"type": "array", "items": call, "minItems": 1, "maxItems": planning.MAX_NODES}
    parameters = {"type": "object", "properties": {"calls": calls}, "required": ["calls"]}
    spec = ToolSpec(name=NAME, description=DESCRIPTION, parameters=parameters, examples=(_EXAMPLE,))
    return (*others, ToolOffer(spec=spec))


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A plan without a fault."""

    calls: tuple[ToolCall, ...]
    after: Mapping[str, tuple[str, ...]]


class _Node(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    tool: str
    arguments: dict[str, object] = {}
    after: tuple[str, ...] = ()


class _Plan(msgspec.Struct, forbid_unknown_fields=True):
    calls: tuple[_Node, ...]


def read(message: Message, is_tool: Callable[[str], bool], finished: Calls) -> Proposal | str:
    """The plan that `message` proposes, or what is wrong with it, in words for the model; empty: it proposes none.

    Args:
        message: What the model said.
        is_tool: Whether there is a tool of a name.
        finished: The calls of earlier plans that may be referred to.
    """
    calls = message.tool_calls
    proposed = next((call for call in calls if call.name == NAME), None)
    if proposed is None:
        return ""
    if len(calls) > 1:
        return "A plan must be the only call of a message: put the other calls into the plan."
    if proposed.malformed:
        return "The arguments of the plan are no JSON object."
    try:
        plan = msgspec.convert(proposed.arguments, _Plan)
    except (msgspec.ValidationError, RecursionError) as error:
        return f"The plan does not fit its schema: {error}."
    return _fault_of(plan, is_tool) or _checked(plan, finished)


def _fault_of(plan: _Plan, is_tool: Callable[[str], bool]) -> str:
    if not plan.calls:
        return "The plan has no calls."
    for node in plan.calls:
        if not 0 < len(node.id) <= MAX_ID_CHARS:
            return f"The id {node.id[:MAX_ID_CHARS]!r} of a call is empty or over {MAX_ID_CHARS} characters long."
        if node.tool == NAME or not is_tool(node.tool):
            return (
                f"The call {node.id!r} of the plan is of {node.tool!r}, which is no tool that a plan can use."
            )
    return ""


def _checked(plan: _Plan, finished: Calls) -> Proposal | str:
    calls = tuple(
        ToolCall(tool_call_id=node.id, name=node.tool, arguments=node.arguments) for node in plan.calls
    )
    after = {node.id: node.after for node in plan.calls if node.after}
    return planning.fault(calls, after, finished) or Proposal(calls=calls, after=after)
