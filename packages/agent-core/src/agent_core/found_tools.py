"""Tools that a model looked for: what a tool that finds tools has named is offered from then on. Pure.

They are put behind what is offered anyway, in the order in which they were found: a provider that caches the beginning of a
prompt reads it anew only at a turn that found something.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from agent_core.messages import Message
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec

MOST_FOUND = 40
"""So many are offered; what was found after them is not."""


class _Named(msgspec.Struct):
    name: str


def with_found(
    offers: Sequence[ToolOffer], messages: Sequence[Message], spec_of: Callable[[str], ToolSpec | None]
) -> Sequence[ToolOffer]:
    """The offers, and behind them the tools that were found in this conversation by one of them.

    Args:
        offers: What is offered for the request.
        messages: The conversation so far.
        spec_of: The specification of a tool by its name, if there is one.
    """
    for one in offers:
        if one.spec.finds_tools:
            break
    else:  # as mostly: every turn comes here, and a set made for it would cost more than asking
        return offers
    finders = {one.spec.name for one in offers if one.spec.finds_tools}
    known = {one.spec.name for one in offers}
    names = [name for name in dict.fromkeys(_found(messages, finders)) if name not in known]
    specs = (spec_of(name) for name in names[:MOST_FOUND])
    return [*offers, *(ToolOffer(spec=spec) for spec in specs if spec is not None)]


def _found(messages: Sequence[Message], finders: Collection[str]) -> Iterator[str]:
    looked: set[str] = set()
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall) and part.name in finders:
                looked.add(part.tool_call_id)
            elif isinstance(part, ToolResult) and part.tool_call_id in looked and not part.is_error:
                yield from _names(part.content)


def _names(content: str) -> Sequence[str]:
    try:
        return [one.name for one in msgspec.json.decode(content, type=list[_Named])]
    except msgspec.MsgspecError:  # it was cut, or is a text
        return ()
