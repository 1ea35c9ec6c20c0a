"""The promises of the `Observer` port. Subclass `ObserverConformance` and say how to make yours.

    class TestMyObserver(ObserverConformance):
        def observer(self):
            return MyObserver()

What an observer does with what it is told is its own business: override `check` to look at it. The suite makes sure
that whatever a runner may tell it, it takes, at once. Needs pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from agent_core import events as ev
from agent_core.chat import ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.messages import Message, Text, assistant, user
from agent_core.ports import Observer, StoredEvent
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import evolve

TEXT = "Zażółć 日本語 🙂 \u0000 \u2028"
DELTAS = (
    TextDelta(""),
    TextDelta(TEXT),
    ReasoningDelta("hm"),
    ToolCallDelta(index=0, name="t", arguments="{"),
)
_CALL = ToolCall(tool_call_id="c", name="t", arguments={"text": TEXT})


def a_run(run_id: str) -> tuple[ev.Event, ...]:
    """A run in which a person is asked, a tool fails, a limit is reached and an answer is revised."""
    message = Message(role="assistant", parts=(Text(text=TEXT), _CALL))
    failed = ToolResult(tool_call_id="c", content=TEXT, error="failed", retryable=True)
    returned = ToolResult(tool_call_id="c", content=TEXT)
    return (
        ev.RunStarted(at=1.0, run_id=run_id, session_id="s", input=user(TEXT), model="test:model"),
        ev.ContextHydrated(at=1.0, messages=(user("before"),)),
        ev.ToolsCalled(at=2.0, parts=message.parts, model="test:model"),
        ev.ApprovalRequested(at=2.0, tool_call_id="c", reason="may it?"),
        ev.ApprovalGranted(at=3.0, tool_call_id="c", by="ann"),
        ev.ToolStarted(at=3.0, tool_call_id="c"),
        ev.tool_back(failed, at=4.0),
        ev.ResultsRetried(at=4.0, tool_call_ids=("c",), reason="may pass"),
        ev.ToolStarted(at=4.0, tool_call_id="c"),
        ev.tool_back(returned, at=5.0),
        ev.ResultsAccepted(at=5.0),
        ev.LimitReached(at=5.0, limit="turns"),
        ev.ModelAnswered(at=6.0, parts=assistant(TEXT).parts, model="test:model"),
        ev.AnswerAccepted(at=6.0),
        ev.OutcomeStored(at=6.0),
    )


ENDS: tuple[ev.Event, ...] = (
    ev.RunCancelled(at=7.0, by="ann", reason=TEXT),
    ev.RunFailed(at=7.0, code="broken", reason=TEXT),
)


def told(run_id: str, events: Sequence[ev.Event]) -> list[tuple[StoredEvent, RunState]]:
    """The events with the states that they lead to, as a runner tells them."""
    steps: list[tuple[StoredEvent, RunState]] = []
    state = RunState(run_id=run_id)
    for event in events:
        state = evolve(state, event)
        steps.append((StoredEvent(run_id=run_id, seq=state.seq, event=event, writer="w"), state))
    return steps


def tell(observer: Observer, steps: Sequence[tuple[StoredEvent, RunState]]) -> None:
    """Tell each event. What is returned must be nothing: a coroutine would never be awaited."""
    for stored, state in steps:
        assert observer.on_event(stored, state) is None, f"{stored.seq}"  # type: ignore[func-returns-value]


class ObserverConformance:
    """Each test opens an observer of its own, through `observer`."""

    @abstractmethod
    def observer(self) -> AbstractAsyncContextManager[Observer]:
        """An observer, closed at the end of the block."""

    def check(self, observer: Observer, steps: Sequence[tuple[StoredEvent, RunState]]) -> None:
        """Look at what the observer made of the steps that it was told, in this order. Nothing, unless overridden."""

    async def test_a_whole_run_is_taken(self) -> None:
        """With its deltas in between."""
        steps = told("r", a_run("r"))
        async with self.observer() as observer:
            for step in steps:
                tell(observer, [step])
                for delta in DELTAS:
                    assert observer.on_delta("r", delta) is None  # type: ignore[func-returns-value]
            self.check(observer, steps)

    async def test_every_end_is_taken(self) -> None:
        """Cancelled and failed, in the middle of anything."""
        for end in ENDS:
            for length in range(1, 12):
                run_id = f"r{length}"
                steps = told(run_id, (*a_run(run_id)[:length], end))
                async with self.observer() as observer:
                    tell(observer, steps)
                    self.check(observer, steps)

    async def test_runs_that_are_told_in_turns_are_kept_apart(self) -> None:
        """Two runs side by side, event by event."""
        left, right = told("a", a_run("a")), told("b", a_run("b"))
        both = [step for pair in zip(left, right, strict=True) for step in pair]
        async with self.observer() as observer:
            tell(observer, both)
            self.check(observer, both)

    async def test_a_run_is_taken_up_in_the_middle(self) -> None:
        """After a crash another process drives on: its observer was told nothing of what came before."""
        steps = told("r", a_run("r"))
        for first in range(1, len(steps)):
            async with self.observer() as observer:
                observer.on_delta("r", TextDelta("..."))
                tell(observer, steps[first:])
                self.check(observer, steps[first:])

    async def test_a_run_that_is_never_finished_does_no_harm(self) -> None:
        """The drive ended, and nobody says so."""
        for length in range(len(a_run("r"))):
            async with self.observer() as observer:
                tell(observer, told("r", a_run("r")[:length]))
