"""Budgets of a run: turns, tool calls, tokens, money, time. Pure: what was spent is part of the state."""

import msgspec

from agent_core.messages import Usage


class Limits(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a run may spend. None: unlimited. Limits are part of the state, so they hold across restarts."""

    turns: int | None = 20
    tool_calls: int | None = 100
    """Calls over it are refused one by one; those before it in the same turn are made."""
    input_tokens: int | None = None
    """Those read from a cache and written to one included."""
    output_tokens: int | None = None
    """Reasoning included."""
    total_tokens: int | None = None
    cost_usd: float | None = None
    """Holds as far as the cost is known."""
    wall_time_s: float | None = None
    """From the run's first event; waiting for a person counts. What is under way when it ends is stopped."""
    last_turn: bool = True
    """Whether the model gets one more turn, without tools, to answer with what it has; else the run fails."""


class Spent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a run has spent so far."""

    turns: int = 0
    tool_calls: int = 0
    usage: Usage = Usage()
    wall_time_s: float = 0.0


def reached(limits: Limits, spent: Spent) -> str:
    """The name of the first limit that is reached, or the empty string."""
    if limits.turns is not None and spent.turns >= limits.turns:
        return "turns"
    if limits.tool_calls is not None and spent.tool_calls >= limits.tool_calls:
        return "tool_calls"
    usage = spent.usage
    if limits.input_tokens is not None and usage.prompt_tokens >= limits.input_tokens:
        return "input_tokens"
    if (
        limits.output_tokens is not None
        and usage.output_tokens + usage.reasoning_tokens >= limits.output_tokens
    ):
        return "output_tokens"
    if limits.total_tokens is not None and usage.total_tokens >= limits.total_tokens:
        return "total_tokens"
    if limits.cost_usd is not None and (usage.cost_usd or 0.0) >= limits.cost_usd:
        return "cost_usd"
    if limits.wall_time_s is not None and spent.wall_time_s >= limits.wall_time_s:
        return "wall_time_s"
    return ""


def is_over_calls(limits: Limits, spent: Spent, turn_calls: int, place: int) -> bool:
    """Whether a call is one too many.

    Args:
        limits: The limits.
        spent: What was spent, the calls of this turn included.
        turn_calls: How many calls this turn has.
        place: The place of the call among them, from 0.
    """
    return limits.tool_calls is not None and spent.tool_calls - turn_calls + place >= limits.tool_calls


def seconds_left(limits: Limits, started_at: float, now: float) -> float | None:
    """Seconds until the time is up, not below 0; None where it is not limited."""
    return None if limits.wall_time_s is None else max(0.0, started_at + limits.wall_time_s - now)
