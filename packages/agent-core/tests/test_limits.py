"""Budgets: which one is reached first."""

import pytest

from agent_core.limits import Limits, Spent, reached
from agent_core.messages import Usage

NONE = Limits(turns=None, tool_calls=None)
TOKENS = Usage(input_tokens=60, output_tokens=30, cached_input_tokens=5, reasoning_tokens=5)

CASES = {
    "nothing spent": (Limits(), Spent(), ""),
    "no limits": (NONE, Spent(turns=10**6, tool_calls=10**6, usage=TOKENS, wall_time_s=1e9), ""),
    "under": (Limits(turns=3), Spent(turns=2), ""),
    "at": (Limits(turns=3), Spent(turns=3), "turns"),
    "over": (Limits(turns=3), Spent(turns=4), "turns"),
    "tool calls": (Limits(tool_calls=2), Spent(tool_calls=2), "tool_calls"),
    "tokens of every class": (Limits(total_tokens=100), Spent(usage=TOKENS), "total_tokens"),
    "money": (Limits(cost_usd=0.5), Spent(usage=Usage(cost_usd=0.5)), "cost_usd"),
    "money unknown": (Limits(cost_usd=0.5), Spent(usage=Usage(input_tokens=10**9)), ""),
    "time": (Limits(wall_time_s=60.0), Spent(wall_time_s=60.0), "wall_time_s"),
    "the first of two": (Limits(turns=1, tool_calls=1), Spent(turns=1, tool_calls=1), "turns"),
    "zero": (Limits(turns=0), Spent(), "turns"),
}


@pytest.mark.parametrize(("limits", "spent", "name"), CASES.values(), ids=CASES.keys())
def test_reached(limits, spent, name):
    assert reached(limits, spent) == name
