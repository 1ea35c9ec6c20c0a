"""Whether a run gets on: calls that are repeated, turns in which every call failed, answers sent back. Pure facts."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from agent_core.planning import FAILED, CallState
from agent_core.tools import ToolCall, ToolResult

MAX_SEEN = 8
"""Distinct calls that are remembered: a circle of that many calls is noticed, and a step costs the same for ever."""

OWN_CODES = frozenset({"denied", "skipped", "limit_reached", "invalid_plan"})
"""Errors that the machine or a person gave to a call that was not made: they say nothing about its tool."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A call with its result, and how often they came as this pair in a row."""

    call: ToolCall
    result: ToolResult
    times: int


class Progress(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What tells a run that gets on from one that goes in circles."""

    seen: tuple[Seen, ...] = ()
    """The calls made last, the latest last, each distinct one once."""
    repeated: int = 0
    """How often the most repeated of the results that were judged last has come; 1: for the first time."""
    failed_turns: int = 0
    """The turns in a row, up to now, in which every call failed."""
    answers_revised: int = 0


def times(progress: Progress, call: CallState) -> int:
    """How often this call came to this result, now included; 0 where that is of no interest."""
    return _times(_same_call(progress.seen, call), call) if _counts(call) else 0


def after_results(progress: Progress, fresh: Iterable[CallState], *, failed: bool | None) -> Progress:
    """The progress once the `fresh` results count.

    Args:
        progress: What it was.
        fresh: The calls whose results were judged now.
        failed: Whether every call of the turn failed; None while some are still to be made.
    """
    seen, repeated = progress.seen, 0
    for call in fresh:
        result = call.result
        if result is None or call.vouched or result.error in OWN_CODES:
            continue
        before = _same_call(progress.seen, call)
        often = _times(before, call)
        repeated = max(repeated, often)
        if seen is not progress.seen:  # a turn may make the same call twice
            before = _same_call(seen, call)
        kept = seen if before is None else tuple([one for one in seen if one is not before])
        seen = (*kept[1 - MAX_SEEN :], Seen(call.call, result, often))
    failed_turns = progress.failed_turns
    if failed is not None:
        failed_turns = failed_turns + 1 if failed else 0
    return replace(progress, seen=seen, repeated=repeated, failed_turns=failed_turns)


def _counts(call: CallState) -> bool:
    return call.result is not None and not call.vouched and call.result.error not in OWN_CODES


def _same_call(seen: tuple[Seen, ...], call: CallState) -> Seen | None:
    name, arguments = call.call.name, call.call.arguments
    for one in seen:
        if one.call.name == name and one.call.arguments == arguments:
            return one
    return None


def _times(before: Seen | None, call: CallState) -> int:
    """How often the call came to its result, by what is known of it from before."""
    result = call.result
    if before is None or result is None:
        return 1
    same = before.result.content == result.content and before.result.error == result.error
    return before.times + 1 if same else 1


def all_failed(calls: Iterable[CallState]) -> bool:
    """Whether there is no call that came to anything."""
    for call in calls:  # noqa: SIM110  # a generator costs more than the loop, and every step asks
        if call.status is not FAILED:
            return False
    return True
