"""Budgets of a run: turns, tool calls, tokens, money, time. Pure: what was spent is part of the state."""

import msgspec

from agent_core.messages import Usage


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run may spend. None: unlimited. Reaching one gives the model a last turn to answer without tools."""

    turns: int | None = 20
    tool_calls: int | None = 100
    total_tokens: int | None = None
    cost_usd: float | None = None
    wall_time_s: float | None = None
    """From the run's first event; waiting for a person counts."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
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
    if limits.total_tokens is not None and spent.usage.total_tokens >= limits.total_tokens:
        return "total_tokens"
    if limits.cost_usd is not None and (spent.usage.cost_usd or 0.0) >= limits.cost_usd:
        return "cost_usd"
    if limits.wall_time_s is not None and spent.wall_time_s >= limits.wall_time_s:
        return "wall_time_s"
    return ""
