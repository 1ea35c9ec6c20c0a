"""Verdicts on results and answers, by rule. Pure: a critic model is a port, asked by the runner.

Rules for results, the first that fits decides
1. A failure that may pass is tried again, with the same idempotency key.
2. The same call with the same result goes back with a reason that says so; once more, and a person looks at it.
3. A result that is empty where something was to be read out of it goes back with a reason.
4. Everything else counts. A failure that counts is not hidden: the model reads it (invalid arguments with the path and
   the schema, as the tool runner wrote them) and decides what to do.

A run that goes in circles, or whose calls fail turn after turn, is given its last turn (`stuck`).
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from agent_core import events as ev
from agent_core import planning, progress
from agent_core.json_types import JsonObject
from agent_core.planning import FAILED, CallState
from agent_core.state import RunState

AnswerCheck: TypeAlias = Callable[[str, JsonObject], str]
"""From an answer that is JSON and the schema it must fit to what is wrong with it, in words for the model, or ''."""

ResultsVerdict: TypeAlias = ev.ResultsAccepted | ev.ResultsRetried | ev.ResultsRevised | ev.RunEscalated
AnswerVerdict: TypeAlias = ev.AnswerAccepted | ev.AnswerRevised | ev.RunFailed


class Reflexion(msgspec.Struct, frozen=True, kw_only=True):
    """How strictly a runner looks at results and answers. None: that rule is off."""

    attempts: int = 2
    """How often one call is made at the most, the first time included."""
    revise_empty: bool = True
    revise_repeated: int | None = 2
    """The same call with the same result for this many times goes back with a reason."""
    escalate_repeated: int | None = 3
    """And for this many times goes to a person, or ends the run with a last turn."""
    failed_turns: int | None = 3
    """So many turns in a row in which every call failed end the run with a last turn."""
    answer_revisions: int = 2
    """How often an answer is sent back."""
    critic_timeout_s: float = 60.0


class Finding(StrEnum):
    """What a critic makes of results or of an answer."""

    ACCEPT = "accept"
    RETRY = "retry"
    """Make the call again as it was; of an answer the same as revise."""
    REVISE = "revise"
    """The model reads the reason and thinks again."""
    ESCALATE = "escalate"
    """A person must look at it; of an answer the same as revise."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A critic's verdict."""

    finding: Finding = Finding.ACCEPT
    reason: str = ""
    """In words for the model or the person; needed for everything but accept."""
    tool_call_ids: tuple[str, ...] = ()
    """The calls that it is about; empty: all that are judged."""


DEFAULT = Reflexion()


def judge_results(
    state: RunState, at: float, rules: Reflexion = DEFAULT, *, escalate: bool = True
) -> ResultsVerdict:
    """The verdict on the results that are back, by rule; `escalate`: there are persons to ask."""
    again: list[str] = []
    repeated: list[tuple[CallState, int]] = []
    empty: list[CallState] = []
    for call in planning.unjudged(state.calls):
        result = call.result
        if result is not None and result.retryable and call.attempt < rules.attempts:
            again.append(_id(call))
        if (often := progress.times(state.progress, call)) > 1:
            repeated.append((call, often))
        if rules.revise_empty and _is_empty(call, state):
            empty.append(call)
    if again:
        return ev.ResultsRetried(at=at, tool_call_ids=tuple(again), reason="the failure may pass")
    if repeated and (verdict := _on_repeated(repeated, at, rules, escalate=escalate)):
        return verdict
    if empty:
        return _revised(
            at, empty, "gave an empty result. If you need one, try other arguments or another tool"
        )
    return ev.ResultsAccepted(at=at)


def _on_repeated(
    repeated: Sequence[tuple[CallState, int]], at: float, rules: Reflexion, *, escalate: bool
) -> ResultsVerdict | None:
    """The verdict on calls that came to the same result as before, each so many times; None: they are let pass."""
    for call, often in repeated if escalate else ():
        if rules.escalate_repeated is not None and often >= rules.escalate_repeated:
            reason = f"{call.call.name} was called {often} times with the same arguments and the same result"
            return ev.RunEscalated(at=at, tool_call_id=_id(call), reason=reason)
    rejected = [
        call
        for call, often in repeated
        if rules.revise_repeated is not None and often >= rules.revise_repeated
    ]
    if rejected:
        return _revised(
            at, rejected, "gave the same result to the same arguments as before. Do something else"
        )
    return None


def _is_empty(call: CallState, state: RunState) -> bool:
    """In a plan a result may well be empty (a file was written), unless another call takes it in."""
    if call.vouched or call.status is FAILED or call.result is None or call.result.content.strip():
        return False
    return not state.plan_call_id or any(_id(call) in other.sources for other in state.calls.values())


def _revised(at: float, calls: Sequence[CallState], what: str) -> ev.ResultsRevised:
    names = ", ".join(dict.fromkeys(call.call.name for call in calls))
    ids = tuple(_id(call) for call in calls)
    return ev.ResultsRevised(
        at=at, reason=f"{names} {what}, or answer with what you have.", tool_call_ids=ids
    )


def _id(call: CallState) -> str:
    return call.call.tool_call_id


def stuck(state: RunState, rules: Reflexion = DEFAULT, *, escalate: bool = True) -> str:
    """Why a run that is about to ask the model gets nowhere, as the name of a limit; empty: it gets on."""
    now = state.progress
    if rules.failed_turns is not None and now.failed_turns >= rules.failed_turns:
        return "failed_turns"
    if not escalate and rules.escalate_repeated is not None and now.repeated >= rules.escalate_repeated:
        return "repeated_calls"
    return ""


def check_answer(
    state: RunState, at: float, rules: Reflexion = DEFAULT, answer_check: AnswerCheck | None = None
) -> AnswerVerdict:
    """The verdict on the answer, by rule: not empty, and what the run's schema asks for.

    After the last revision, and where a limit was reached, an empty answer stands; one that is not what the schema asks
    for fails the run, for who gave a schema cannot use it.
    """
    reason = _wrong(state, answer_check)
    if not reason:
        return ev.AnswerAccepted(at=at)
    if _may_revise(state, rules):
        return ev.AnswerRevised(at=at, reason=reason)
    if state.answer_schema is not None:
        return ev.RunFailed(at=at, code="invalid_answer", reason=reason)
    return ev.AnswerAccepted(at=at)


def _may_revise(state: RunState, rules: Reflexion) -> bool:
    """An empty answer is asked for again once: a model that has nothing to say will not say more for asking."""
    once = not state.answer.strip() and state.answer_schema is None
    allowed = min(1, rules.answer_revisions) if once else rules.answer_revisions
    return not state.limit_reached and state.progress.answers_revised < allowed


def _wrong(state: RunState, answer_check: AnswerCheck | None) -> str:
    if not state.answer.strip():
        return "Your answer was empty. Please answer the question."
    if state.answer_schema is None:
        return ""
    try:
        msgspec.json.decode(state.answer)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"Your answer must be one JSON value and nothing else: {error}."
    wrong = answer_check(state.answer, state.answer_schema) if answer_check is not None else ""
    return wrong and f"Your answer does not fit its JSON schema: {wrong}. Answer again."


def from_judgement(
    state: RunState,
    at: float,
    judgement: Judgement,
    rules: Reflexion = DEFAULT,
    *,
    escalate: bool = True,
    may_repeat: Callable[[CallState], bool] = lambda _: True,
) -> ResultsVerdict:
    """The verdict on results that a critic's judgement comes to. What it may not have becomes a revision; so does a retry
    of calls that may not be repeated: that is for a person to say.
    """
    back = [call for call in planning.unjudged(state.calls) if not call.vouched]
    named = judgement.tool_call_ids  # what is said of calls that are not judged now changes nothing
    meant = [call for call in back if _id(call) in named] if named else back
    ids = tuple(_id(call) for call in meant)
    reason = judgement.reason or "The result was rejected."
    if judgement.finding is Finding.ACCEPT or not meant:
        return ev.ResultsAccepted(at=at, note=judgement.reason)
    if judgement.finding is Finding.RETRY:
        again = tuple(_id(call) for call in meant if call.attempt < rules.attempts and may_repeat(call))
        if again:
            return ev.ResultsRetried(at=at, tool_call_ids=again, reason=reason)
    if judgement.finding is Finding.ESCALATE and escalate:
        return ev.RunEscalated(at=at, tool_call_id=ids[0], reason=reason)
    return ev.ResultsRevised(at=at, reason=reason, tool_call_ids=ids)


def from_answer_judgement(
    state: RunState, at: float, judgement: Judgement, rules: Reflexion = DEFAULT
) -> AnswerVerdict:
    """The verdict on an answer that a critic's judgement comes to; after the last revision the answer stands."""
    if judgement.finding is not Finding.ACCEPT and _may_revise(state, rules):
        return ev.AnswerRevised(at=at, reason=judgement.reason or "The answer was rejected. Answer again.")
    return ev.AnswerAccepted(at=at, note=judgement.reason)
