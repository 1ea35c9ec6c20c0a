"""Native mode: the model knows tools in its vendor's own format, and the gateway's dialect writes them."""

from operator import attrgetter

from agent_core.chat import ModelRequest
from agent_core.tool_modes.turn import Ask, Turn, TurnOutcome, TurnView, with_unique_ids

_SPEC = attrgetter("spec")


def native(view: TurnView) -> Turn:
    """One question; what comes back is the turn."""
    request = ModelRequest(
        messages=view.conversation(),
        tools=tuple(map(_SPEC, view.offers)),
        tool_choice="auto" if view.offers else "none",
    )
    completion = yield Ask(request=request)
    return TurnOutcome(
        message=with_unique_ids(completion.message, view.turn),
        model=completion.model,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
    )
