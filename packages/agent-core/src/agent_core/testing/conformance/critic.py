"""The promises of the `Critic` port. Subclass `CriticConformance` and say how to open yours.

    class TestMyCritic(CriticConformance):
        def critic(self):
            return MyCritic.open(...)  # an async context manager

Whether a judgement is a good one, no suite can say; that it is one, and that a runner can use it, this one does. Needs
pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import anyio

from agent_core import events as ev
from agent_core import planning
from agent_core.messages import assistant, user
from agent_core.ports import Critic
from agent_core.reflexion import Finding, Judgement
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import replay

PATIENCE_S = 60.0
"""Seconds for one judgement: a runner does not wait longer by default."""
STOPS_WITHIN_S = 5.0
RESULTS: tuple[tuple[ToolResult, ...], ...] = (
    (ToolResult(tool_call_id="c0", content="Paris has 2.1 million inhabitants."),),
    (ToolResult(tool_call_id="c0", content=""),),
    (ToolResult(tool_call_id="c0", content="No such city.", error="failed"),),
    (ToolResult(tool_call_id="c0", content="Zażółć 日本語 🙂 \u0000 \u2028 {} %s"),),
    (ToolResult(tool_call_id="c0", content="word " * 5_000),),
    tuple(ToolResult(tool_call_id=f"c{place}", content=f"result {place}") for place in range(5)),
)
ANSWERS = ("Paris has 2.1 million inhabitants.", "", "Zażółć 日本語 🙂 \u0000", "word " * 5_000, "{")


def before(results: Sequence[ToolResult]) -> RunState:
    """A run whose results are back."""
    calls = tuple(
        ToolCall(tool_call_id=result.tool_call_id, name="look_up", arguments={"about": "Paris"})
        for result in results
    )
    begun = _begun()
    called = ev.ToolsCalled(at=2.0, parts=calls, model="test:model")
    return replay("r", [*begun, called, *(ev.tool_back(result, at=3.0) for result in results)])


def answered(text: str) -> RunState:
    """A run with an answer."""
    return replay("r", [*_begun(), ev.ModelAnswered(at=2.0, parts=assistant(text).parts, model="test:model")])


def _begun() -> tuple[ev.Event, ...]:
    said = user("How many people live in Paris?")
    return (
        ev.RunStarted(at=1.0, run_id="r", session_id="s", input=said, model="test:model"),
        ev.ContextHydrated(at=1.0),
    )


def is_usable(judgement: Judgement, state: RunState) -> bool:
    """Whether a runner can act on it: of calls that are judged, and with words for who reads it."""
    judged = {call.call.tool_call_id for call in planning.unjudged(state.calls)}
    said = judgement.finding is Finding.ACCEPT or bool(judgement.reason.strip())
    return said and set(judgement.tool_call_ids) <= judged


class CriticConformance:
    """Each test opens a critic of its own, through `critic`."""

    @abstractmethod
    def critic(self) -> AbstractAsyncContextManager[Critic]:
        """A critic, closed at the end of the block."""

    async def test_a_judgement_of_results_can_be_acted_on(self) -> None:
        """Of good ones, of bad ones, of many; it names no call that it was not asked about."""
        async with self.critic() as critic:
            for results in RESULTS:
                state = before(results)
                with anyio.fail_after(PATIENCE_S):
                    assert is_usable(await critic.judge(state), state)

    async def test_a_judgement_of_an_answer_can_be_acted_on(self) -> None:
        """Whatever the answer is."""
        async with self.critic() as critic:
            for text in ANSWERS:
                state = answered(text)
                with anyio.fail_after(PATIENCE_S):
                    assert is_usable(await critic.check(state), state)

    async def test_two_runs_are_judged_at_once(self) -> None:
        """One critic serves all runs of a runner."""
        judgements: list[Judgement] = []

        async def judge(critic: Critic) -> None:
            judgements.append(await critic.judge(before(RESULTS[0])))

        async with self.critic() as critic, anyio.create_task_group() as tasks:
            tasks.start_soon(judge, critic)
            tasks.start_soon(judge, critic)
        assert len(judgements) == 2

    async def test_a_judgement_that_is_cancelled_ends_at_once(self) -> None:
        """A run that is cancelled waits for nobody; the critic judges the next."""
        async with self.critic() as critic:
            with anyio.fail_after(STOPS_WITHIN_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(critic.judge, before(RESULTS[0]))
                    await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            with anyio.fail_after(PATIENCE_S):
                assert isinstance(await critic.judge(before(RESULTS[0])), Judgement)
