"""One event of every type, one state in every phase, and a runner over fakes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agent_core import events as ev
from agent_core.messages import Message, assistant, user
from agent_core.policy import Policy
from agent_core.ports import Journal, Memory, Observer
from agent_core.runner import Runner
from agent_core.state import Phase, RunState
from agent_core.testing import (
    InMemoryJournal,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    VirtualClock,
)
from agent_core.tools import ToolCall
from agent_core.transitions import replay

CALLS = Message(
    role="assistant",
    parts=(
        ToolCall(tool_call_id="c1", name="first", arguments={"x": 1}),
        ToolCall(tool_call_id="c2", name="second", arguments={"y": "two"}),
    ),
)

SAMPLES: dict[type[ev.Event], ev.Event] = {
    type(event): event
    for event in (
        ev.RunStarted(at=1.0, run_id="r", session_id="s", input=user("hi"), model="test:model"),
        ev.ContextHydrated(at=2.0, messages=(assistant("earlier"),)),
        ev.ModelAnswered(at=3.0, parts=assistant("forty-two").parts, model="m"),
        ev.ToolsCalled(at=3.0, parts=CALLS.parts, model="m"),
        ev.PlanProposed(at=3.0, parts=CALLS.parts, model="m", after={"c2": ("c1",)}),
        ev.ModelFailed(at=3.0, code="refused", reason="no"),
        ev.LimitReached(at=3.0, limit="turns"),
        ev.ToolStarted(at=4.0, tool_call_id="c1"),
        ev.RunDelegated(at=4.0, tool_call_id="c1", run_id="run_2"),
        ev.ToolReturned(at=5.0, tool_call_id="c1", content="one"),
        ev.ToolFailed(at=5.0, tool_call_id="c1", content="broken", error="failed"),
        ev.ApprovalRequested(at=5.0, tool_call_id="c1", reason="destroys"),
        ev.InputRequested(at=5.0, tool_call_id="c1", question="which?"),
        ev.ApprovalGranted(at=6.0, tool_call_id="c2", by="ann"),
        ev.ApprovalDenied(at=6.0, tool_call_id="c2", by="ann", reason="too risky"),
        ev.InputGiven(at=6.0, tool_call_id="c2", by="ann", text="the blue one"),
        ev.ResultsAccepted(at=7.0),
        ev.ResultsRetried(at=7.0, tool_call_ids=("c1",), reason="may pass"),
        ev.ResultsRevised(at=7.0, reason="think again"),
        ev.RunEscalated(at=7.0, tool_call_id="c1", reason="look at this"),
        ev.AnswerAccepted(at=8.0),
        ev.AnswerRevised(at=8.0, reason="too short"),
        ev.OutcomeStored(at=9.0),
        ev.RunCancelled(at=9.0, by="ann", reason="enough"),
        ev.RunFailed(at=9.0, code="broken", reason="disk"),
    )
}

_STARTED = (SAMPLES[ev.RunStarted],)
_HYDRATED = (*_STARTED, SAMPLES[ev.ContextHydrated])
_DISPATCHED = (
    *_HYDRATED,
    SAMPLES[ev.ToolsCalled],
    ev.ApprovalRequested(at=4.0, tool_call_id="c2", reason="destroys"),
)
_WAITING = (*_DISPATCHED, SAMPLES[ev.ToolReturned])
_ANSWERED = (*_HYDRATED, SAMPLES[ev.ModelAnswered])

JOURNALS: dict[Phase, Sequence[ev.Event]] = {
    Phase.IDLE: (),
    Phase.PERCEIVING: _STARTED,
    Phase.REASONING: _HYDRATED,
    Phase.DISPATCHING: _DISPATCHED,
    Phase.AWAITING: _WAITING,
    Phase.REFLECTING: (*_WAITING, SAMPLES[ev.InputGiven]),
    Phase.RESPONDING: _ANSWERED,
    Phase.DONE: (*_ANSWERED, SAMPLES[ev.AnswerAccepted], SAMPLES[ev.OutcomeStored]),
    Phase.FAILED: (*_HYDRATED, SAMPLES[ev.ModelFailed]),
    Phase.CANCELLED: (*_WAITING, SAMPLES[ev.RunCancelled]),
}


@pytest.fixture
def samples() -> dict[type[ev.Event], ev.Event]:
    """An event of every type; each fits the states of `state_in`: call c1 is open, c2 waits for a person."""
    return SAMPLES


@pytest.fixture
def journal_to() -> Callable[[Phase], Sequence[ev.Event]]:
    """A journal that ends in a phase."""
    return lambda phase: JOURNALS[phase]


@pytest.fixture
def state_in() -> Callable[[Phase], RunState]:
    """A state in a phase."""
    return lambda phase: replay("r", JOURNALS[phase])


@pytest.fixture
def runner_of() -> Callable[..., Runner]:
    """A runner over fakes, whose clock moves only when told."""

    def build(
        model: ScriptedModel | Sequence[object],
        tools: ScriptedTools | dict[str, object] | None = None,
        *,
        journal: Journal | None = None,
        memory: Memory | None = None,
        policy: Policy | None = None,
        observers: Sequence[Observer] = (),
        **decides: Any,
    ) -> Runner:
        return Runner(
            model=ScriptedModel(model) if isinstance(model, Sequence) else model,
            tools=ScriptedTools(tools or {}) if isinstance(tools, dict | None) else tools,
            memory=memory or NoMemory(),
            journal=InMemoryJournal() if journal is None else journal,
            policy=policy,
            observers=observers,
            clock=VirtualClock(),
            ids=SequentialIds(),
            **decides,
        )

    return build
