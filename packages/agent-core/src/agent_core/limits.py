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
    pairs = (
        ("turns", limits.turns, spent.turns),
        ("tool_calls", limits.tool_calls, spent.tool_calls),
        ("total_tokens", limits.total_tokens, spent.usage.total_tokens),
        ("cost_usd", limits.cost_usd, spent.usage.cost_usd or 0.0),
        ("wall_time_s", limits.wall_time_s, spent.wall_time_s),
    )
    for name, limit, value in pairs:
        if limit is not None and value >= limit:
            return name
    return ""
