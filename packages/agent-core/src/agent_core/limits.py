"""Budgets of a run: turns, tool calls, tokens, money, time. Pure: what was spent is part of the state."""

from typing import TypeVar

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


class Spent(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a run has spent so far."""

    turns: int = 0
    tool_calls: int = 0
    usage: Usage = Usage()
    wall_time_s: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        """The sum; time is not added, for what is delegated takes the time of who waits for it."""
        return Spent(
            turns=self.turns + other.turns,
            tool_calls=self.tool_calls + other.tool_calls,
            usage=self.usage + other.usage,
            wall_time_s=self.wall_time_s,
        )


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


def share(limits: Limits, spent: Spent, own: Limits, among: int) -> Limits:
    """The limits of a delegated run: its own, and at the most an equal part of what is left here.

    Args:
        limits: Those of the run that delegates.
        spent: What it has spent, finished delegations included.
        own: What the sub-agent may spend at the most.
        among: How many delegations are under way or to come, this one included. They take the same time, so time is not divided.
    """
    usage = spent.usage
    output_tokens = usage.output_tokens + usage.reasoning_tokens
    return Limits(
        turns=_least(own.turns, _part(limits.turns, spent.turns, among)),
        tool_calls=_least(own.tool_calls, _part(limits.tool_calls, spent.tool_calls, among)),
        input_tokens=_least(own.input_tokens, _part(limits.input_tokens, usage.prompt_tokens, among)),
        output_tokens=_least(own.output_tokens, _part(limits.output_tokens, output_tokens, among)),
        total_tokens=_least(own.total_tokens, _part(limits.total_tokens, usage.total_tokens, among)),
        cost_usd=_least(own.cost_usd, _money(limits, spent, among)),
        wall_time_s=_least(own.wall_time_s, _time(limits, spent)),
        last_turn=own.last_turn,
    )


def is_spent(limits: Limits) -> bool:
    """Whether nothing at all can be done with these limits."""
    return bool(reached(limits, Spent()))


Number = TypeVar("Number", int, float)


def _least(own: Number | None, part: Number | None) -> Number | None:
    if own is None or part is None:
        return part if own is None else own
    return min(own, part)


def _part(limit: int | None, used: int, among: int) -> int | None:
    return None if limit is None else max(0, limit - used) // among


def _money(limits: Limits, spent: Spent, among: int) -> float | None:
    if limits.cost_usd is None:
        return None
    return max(0.0, limits.cost_usd - (spent.usage.cost_usd or 0.0)) / among


def _time(limits: Limits, spent: Spent) -> float | None:
    return None if limits.wall_time_s is None else max(0.0, limits.wall_time_s - spent.wall_time_s)


def seconds_left(limits: Limits, started_at: float, now: float) -> float | None:
    """Seconds until the time is up, not below 0; None where it is not limited."""
    return None if limits.wall_time_s is None else max(0.0, started_at + limits.wall_time_s - now)
