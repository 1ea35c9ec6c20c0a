"""Budgets: which one is reached first."""

import pytest

from agent_core.limits import Limits, Spent, is_over_calls, reached, seconds_left
from agent_core.messages import Usage

NONE = Limits(turns=None, tool_calls=None)
TOKENS = Usage(
    input_tokens=56, output_tokens=30, cached_input_tokens=5, cache_write_tokens=4, reasoning_tokens=5
)

CASES = {
    "nothing spent": (Limits(), Spent(), ""),
    "no limits": (NONE, Spent(turns=10**6, tool_calls=10**6, usage=TOKENS, wall_time_s=1e9), ""),
    "under": (Limits(turns=3), Spent(turns=2), ""),
    "at": (Limits(turns=3), Spent(turns=3), "turns"),
    "over": (Limits(turns=3), Spent(turns=4), "turns"),
    "tool calls": (Limits(tool_calls=2), Spent(tool_calls=2), "tool_calls"),
    "tokens of every class": (Limits(total_tokens=100), Spent(usage=TOKENS), "total_tokens"),
    "tokens in, cached ones too": (Limits(input_tokens=65), Spent(usage=TOKENS), "input_tokens"),
    "tokens in, under": (Limits(input_tokens=66), Spent(usage=TOKENS), ""),
    "tokens out, reasoning too": (Limits(output_tokens=35), Spent(usage=TOKENS), "output_tokens"),
    "tokens out, under": (Limits(output_tokens=36), Spent(usage=TOKENS), ""),
    "money": (Limits(cost_usd=0.5), Spent(usage=Usage(cost_usd=0.5)), "cost_usd"),
    "money unknown": (Limits(cost_usd=0.5), Spent(usage=Usage(input_tokens=10**9)), ""),
    "time": (Limits(wall_time_s=60.0), Spent(wall_time_s=60.0), "wall_time_s"),
    "the first of two": (Limits(turns=1, tool_calls=1), Spent(turns=1, tool_calls=1), "turns"),
    "zero": (Limits(turns=0), Spent(), "turns"),
}


@pytest.mark.parametrize(("limits", "spent", "name"), CASES.values(), ids=CASES.keys())
def test_reached(limits, spent, name):
    assert reached(limits, spent) == name


@pytest.mark.parametrize(
    ("limit", "spent", "turn_calls", "over"),
    [
        (None, 10**6, 3, []),
        (5, 3, 3, []),
        (5, 5, 3, []),
        (5, 7, 3, [1, 2]),
        (5, 9, 3, [0, 1, 2]),
        (0, 1, 1, [0]),
    ],
)
def test_calls_over_the_limit_are_the_last_ones(limit, spent, turn_calls, over):
    limits, spending = Limits(tool_calls=limit), Spent(tool_calls=spent)
    places = [place for place in range(turn_calls) if is_over_calls(limits, spending, turn_calls, place)]
    assert places == over


def test_seconds_left():
    assert seconds_left(Limits(), 100.0, 200.0) is None
    assert seconds_left(Limits(wall_time_s=30.0), 100.0, 110.0) == 20.0
    assert seconds_left(Limits(wall_time_s=30.0), 100.0, 200.0) == 0.0
