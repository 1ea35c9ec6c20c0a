"""Verdicts on results and answers, by rule. Pure: a critic model is a port, asked by the runner."""

from agent_core import events as ev
from agent_core import planning
from agent_core.state import RunState

MAX_ATTEMPTS = 2
"""How often one call is made at the most, the first time included."""


def judge_results(state: RunState, at: float) -> ev.ResultsAccepted | ev.ResultsRetried:
    """The verdict on the results that are back: failures that may pass are tried again, the rest counts.

    A failure that counts is not hidden: the model reads it and decides what to do.
    """
    again = tuple(
        call.call.tool_call_id
        for call in planning.unjudged(state.calls)
        if call.result is not None and call.result.retryable and call.attempt < MAX_ATTEMPTS
    )
    if again:
        return ev.ResultsRetried(at=at, tool_call_ids=again, reason="the failure may pass")
    return ev.ResultsAccepted(at=at)


def check_answer(state: RunState, at: float) -> ev.AnswerAccepted | ev.AnswerRevised:
    """The verdict on the answer: an empty one is asked for again, once, unless a limit was reached."""
    asked_again = any(message.role == "user" and message.text == _EMPTY for message in state.messages[-2:])
    if state.answer.strip() or asked_again or state.limit_reached:
        return ev.AnswerAccepted(at=at)
    return ev.AnswerRevised(at=at, reason=_EMPTY)


_EMPTY = "Your answer was empty. Please answer the question."
