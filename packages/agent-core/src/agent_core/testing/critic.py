"""A critic that says what a test wrote."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import anyio

from agent_core.reflexion import Judgement
from agent_core.state import RunState

Said: TypeAlias = Judgement | Exception | Callable[[RunState], Judgement]
"""What to say: a judgement, an exception to raise, or a function of the state."""


class ScriptedCritic:
    """Judges in the order of the script, results and answers alike; `judged` and `checked` record the states.

    The last judgement of the script is repeated when more is asked; without a script everything is accepted.
    """

    def __init__(self, script: Sequence[Said] = ()) -> None:
        self._script = list(script) or [Judgement()]
        self.judged: list[RunState] = []
        self.checked: list[RunState] = []

    async def judge(self, state: RunState) -> Judgement:
        """The next judgement, of results."""
        self.judged.append(state)
        return await self._next(state)

    async def check(self, state: RunState) -> Judgement:
        """The next judgement, of an answer."""
        self.checked.append(state)
        return await self._next(state)

    async def _next(self, state: RunState) -> Judgement:
        place = len(self.judged) + len(self.checked) - 1
        said = self._script[min(place, len(self._script) - 1)]
        await anyio.lowlevel.checkpoint()
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Judgement) else said(state)
