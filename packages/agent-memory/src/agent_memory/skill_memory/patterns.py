"""Patterns: ways that worked, as a goal and the calls that reached it, with blanks for what differs. Pure.

A pattern enters only with a verified success. Each later use is noted, and it leaves when it stops working.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from agent_core.json_types import JsonObject
from agent_core.state import RunState
from agent_core.tools import ToolCall

_REMEMBERED_USES = 8
_MIN_BLANK = 2
"""A value of fewer characters is too likely to stand in a goal by chance."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a pattern."""

    tool: str
    arguments: JsonObject
    """With `{name}` where the goal's own words stood."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A way that worked."""

    goal: str
    """What was asked for, with `{name}` for what differs."""
    example: str
    """A goal that it reached, in full."""
    steps: tuple[Step, ...]
    outcome: str
    """The answer, in short."""
    tokens: int = 0
    """That the run took, as has `cost_usd`; of the cheapest success."""
    cost_usd: float | None = None
    uses: str = "+"
    """The latest uses, oldest first: `+` it worked, `-` it did not."""
    wins: int = 1
    losses: int = 0
    updated_at: float = 0.0
    id: int = 0

    @property
    def works(self) -> bool:
        """It did not fail twice in a row, nor in more than half of its latest uses."""
        return not self.uses.endswith("--") and 2 * self.uses.count("-") <= len(self.uses)

    @property
    def key(self) -> str:
        """The same for the same way, whatever filled its blanks."""
        return msgspec.json.encode(
            [(step.tool, step.arguments) for step in self.steps], order="sorted"
        ).decode()

    def used(self, *, worked: bool, at: float) -> "Pattern":
        """The pattern after one more use."""
        return msgspec.structs.replace(
            self,
            uses=(self.uses + ("+" if worked else "-"))[-_REMEMBERED_USES:],
            wins=self.wins + worked,
            losses=self.losses + (not worked),
            updated_at=at,
        )


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a run, and whether it worked."""

    call: ToolCall
    error: str = ""


def calls_of(state: RunState) -> list[Call]:
    """The calls that a run made since its input, with their results, in order."""
    made: dict[str, ToolCall] = {}
    calls: list[Call] = []
    for message in state.messages:
        made |= {call.tool_call_id: call for call in message.tool_calls}
        for result in message.tool_results:
            call = made.pop(result.tool_call_id, None)
            if call is not None:
                calls.append(Call(call=call, error=result.error))
    return calls


def pattern_of(state: RunState, calls: Sequence[Call], *, at: float) -> Pattern | None:
    """The way that a run went, without its failures; None where it called nothing, or has no input."""
    worked = [one.call for one in calls if not one.error]
    if not worked or state.input is None:
        return None
    goal = state.input.text
    blanks = _blanks(goal, worked)
    return Pattern(
        goal=_blanked(goal, blanks),
        example=goal,
        steps=tuple(
            Step(tool=call.name, arguments=cast("JsonObject", _blanked_value(call.arguments, blanks)))
            for call in worked
        ),
        outcome=state.answer[:300],
        tokens=state.usage.total_tokens,
        cost_usd=state.usage.cost_usd,
        updated_at=at,
    )


def _blanks(goal: str, calls: Sequence[ToolCall]) -> dict[str, str]:
    """The values of arguments that the goal names, and what stands for each: the argument's name."""
    blanks: dict[str, str] = {}
    taken: set[str] = set()
    for call in calls:
        for name, value in call.arguments.items():
            text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
            if len(text) >= _MIN_BLANK and text not in blanks and _names(goal, text):
                number = 1
                while (blank := name if number == 1 else f"{name}_{number}") in taken:
                    number += 1
                taken.add(blank)
                blanks[text] = f"{{{blank}}}"
    return blanks


def _names(goal: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", goal) is not None


def _blanked(text: str, blanks: Mapping[str, str]) -> str:
    if not blanks:
        return text
    longest_first = sorted(blanks, key=len, reverse=True)
    values = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")
    return values.sub(lambda found: blanks[found[0]], text)


def _blanked_value(value: object, blanks: Mapping[str, str]) -> object:
    match value:
        case str():
            return _blanked(value, blanks)
        case bool():
            return value
        case int() | float():
            return blanks.get(str(value), value)
        case dict():
            fields = cast("Mapping[str, object]", value)
            return {name: _blanked_value(one, blanks) for name, one in fields.items()}
        case list():
            return [_blanked_value(one, blanks) for one in cast("Sequence[object]", value)]
        case _:
            return value
