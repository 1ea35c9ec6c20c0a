"""Verdicts by rule."""

import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core import reflexion
from agent_core.messages import assistant
from agent_core.state import Phase
from agent_core.tools import ToolResult
from agent_core.transitions import evolve


def failed(key, *, retryable):
    result = ToolResult(tool_call_id=key, content="", error="failed", retryable=retryable)
    return ev.tool_back(result, at=5.0)


def returned(key):
    return ev.ToolReturned(at=5.0, tool_call_id=key, content="ok")


@pytest.fixture
def reflecting(state_in, samples):
    def build(*events):
        state = evolve(state_in(Phase.REASONING), samples[ev.ToolsCalled])
        for event in events:
            state = evolve(state, event)
        assert state.phase is Phase.REFLECTING
        return state

    return build


CASES = {
    "good results count": ([returned("c1"), returned("c2")], ()),
    "a failure that will not pass counts": ([failed("c1", retryable=False), returned("c2")], ()),
    "a failure that may pass is tried again": ([failed("c1", retryable=True), returned("c2")], ("c1",)),
    "two of them together": ([failed("c1", retryable=True), failed("c2", retryable=True)], ("c1", "c2")),
    "but only once": (
        [
            failed("c1", retryable=True),
            returned("c2"),
            ev.ResultsRetried(at=6.0, tool_call_ids=("c1",), reason=""),
            failed("c1", retryable=True),
        ],
        (),
    ),
}


@pytest.mark.parametrize(("events", "again"), CASES.values(), ids=CASES.keys())
def test_results(events, again, reflecting):
    verdict = reflexion.judge_results(reflecting(*events), 7.0)
    if again:
        assert isinstance(verdict, ev.ResultsRetried)
        assert verdict.tool_call_ids == again
    else:
        assert verdict == ev.ResultsAccepted(at=7.0)


@pytest.mark.parametrize(
    ("text", "accepted"), [("42", True), ("", False), (" \n", False)], ids=["text", "empty", "blank"]
)
def test_an_answer_must_not_be_empty(text, accepted, state_in):
    answered = ev.ModelAnswered(at=3.0, parts=assistant(text).parts, model="m")
    verdict = reflexion.check_answer(evolve(state_in(Phase.REASONING), answered), 4.0)
    assert isinstance(verdict, ev.AnswerAccepted) is accepted


def test_an_empty_answer_is_asked_for_again_once(state_in):
    empty = ev.ModelAnswered(at=3.0, parts=assistant("").parts, model="m")
    state = evolve(state_in(Phase.REASONING), empty)
    state = evolve(state, reflexion.check_answer(state, 4.0))
    state = evolve(state, empty)
    assert reflexion.check_answer(state, 5.0) == ev.AnswerAccepted(at=5.0)


def test_an_empty_answer_stands_where_a_limit_was_reached(state_in):
    state = replace(state_in(Phase.RESPONDING), answer="", limit_reached="turns")
    assert reflexion.check_answer(state, 4.0) == ev.AnswerAccepted(at=4.0)
