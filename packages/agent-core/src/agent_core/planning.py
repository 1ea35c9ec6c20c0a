"""A plan as a graph of tool calls: where each call is, which are ready, which can never run. Pure.

A turn with plain tool calls is a plan without edges. In a plan that the model proposed, a call waits for those that it
names in `after` and for those whose results its arguments refer to (`references`). The references are filled in once,
as soon as the results count, so policy, approvals and the tool see the exact arguments.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

import msgspec
from msgspec.structs import replace

from agent_core import references
from agent_core.tools import ToolCall, ToolResult

MAX_NODES = 64
"""Calls that one plan may have."""
MAX_FINISHED = 64
"""Calls of earlier plans whose results later plans may refer to; the oldest go first."""
MAX_CHARS_PASSED_ON = 1_000
"""Of a result that another call of the plan took in, the model is shown this much."""


class CallStatus(StrEnum):
    """Where one tool call is."""

    OPEN = "open"
    """Not run yet, or interrupted."""
    STARTED = "started"
    """The intent is journaled; there is no result."""
    DELEGATED = "delegated"
    """A run of its own performs it."""
    ASKED = "asked"
    """A person is asked."""
    RETURNED = "returned"
    FAILED = "failed"


# Up to Python 3.11 a member of an enum is found by a call into Python, and these are asked for in every step.
OPEN, STARTED, DELEGATED = CallStatus.OPEN, CallStatus.STARTED, CallStatus.DELEGATED
ASKED, RETURNED, FAILED = CallStatus.ASKED, CallStatus.RETURNED, CallStatus.FAILED

RUNNING = (OPEN, STARTED, DELEGATED)
"""Where a call is to be performed, or to be performed on. A tuple: members are compared by identity."""
BACK = (RETURNED, FAILED)


class CallState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One tool call of the current turn or plan."""

    call: ToolCall
    status: CallStatus = OPEN
    after: tuple[str, ...] = ()
    """The calls of the same plan that must have succeeded first."""
    sources: tuple[str, ...] = ()
    """The calls, of this plan or an earlier one, whose results the arguments take in."""
    is_bound: bool = True
    """False: the arguments still hold references, for what they refer to is not there yet."""
    unresolved: str = ""
    """Why a reference in the arguments leads nowhere; such a call fails."""
    attempt: int = 1
    approved: bool = False
    judged: bool = False
    """True: the result counts."""
    vouched: bool = False
    """True: a person gave this result or let it pass, so no rule looks at it."""
    question: str = ""
    """What the person is asked, while the status is `asked`."""
    run_id: str = ""
    """The run that it was delegated to."""
    result: ToolResult | None = None

    @property
    def is_back(self) -> bool:
        """True once there is a result, good or bad, that no person has to look at."""
        return self.status in BACK


Calls = Mapping[str, CallState]


def ready(calls: Calls) -> tuple[CallState, ...]:
    """The calls to perform now, in plan order: not run or interrupted, and all they wait for has succeeded."""
    return tuple([call for call in calls.values() if call.status in RUNNING and may_run(call, calls)])


def may_run(call: CallState, calls: Calls) -> bool:
    """Whether all that a call waits for has succeeded."""
    return all(calls[key].status is RETURNED and calls[key].judged for key in call.after)


def asked(calls: Calls) -> tuple[CallState, ...]:
    """The calls that wait for a person."""
    return tuple([call for call in calls.values() if call.status is ASKED])


def unjudged(calls: Calls) -> tuple[CallState, ...]:
    """The results that are back and do not count yet."""
    back: list[CallState] = []
    for call in calls.values():
        if not call.judged and call.status in BACK:
            back.append(call)  # noqa: PERF401  # up to Python 3.11 a comprehension is a call
    return tuple(back)


def skip_blocked(calls: Calls) -> Calls:
    """The same calls; those that wait, directly or not, for a failed one are failed as `skipped`."""
    for call in calls.values():
        if call.after:
            break
    else:  # independent calls: nothing waits
        return calls
    settled = dict(calls)
    for key in TopologicalSorter({key: call.after for key, call in calls.items()}).static_order():
        call = settled[key]
        failed = [other for other in call.after if settled[other].status is FAILED]
        if call.status is OPEN and failed:
            reason = f"Skipped: it needs the result of {failed[0]}, which failed."
            settled[key] = failed_call(call, "skipped", reason)
    return settled


def skip_rest(calls: Calls) -> dict[str, CallState]:
    """The same calls; those that are not back are failed as `skipped`, for the plan they belong to is dropped."""
    return {
        key: call if call.is_back else failed_call(call, "skipped", "Skipped: the plan was dropped.")
        for key, call in calls.items()
    }


def fault(calls: Sequence[ToolCall], after: Mapping[str, Sequence[str]], finished: Iterable[str] = ()) -> str:
    """What is wrong with a proposed plan, in words for the model; empty where nothing is.

    Args:
        calls: Its calls; their arguments may hold references.
        after: Which call waits for which, beside the references.
        finished: The calls of earlier plans that may be referred to as well.
    """
    own = {call.tool_call_id for call in calls}
    if len(own) != len(calls):
        return "Two calls of the plan have the same id."
    if len(calls) > MAX_NODES:
        return f"The plan has {len(calls)} calls; {MAX_NODES} are allowed."
    for call in calls:
        malformed = references.fault(call.arguments)
        if malformed:
            return f"The call {call.tool_call_id!r} of the plan cannot be read: {malformed}."
    waits = _waits(calls, after)
    known = own.union(finished)
    unknown = sorted(
        {*(after.keys() - own), *(key for keys in waits.values() for key in keys if key not in known)}
    )
    if unknown:
        return f"The plan refers to {unknown[0]!r}, which is no call in it."
    try:
        TopologicalSorter({key: own.intersection(keys) for key, keys in waits.items()}).prepare()
    except CycleError as error:
        return f"The plan waits for itself: {' -> '.join(error.args[1])}."
    return ""


def begun(
    calls: Sequence[ToolCall], after: Mapping[str, Sequence[str]], finished: Calls
) -> dict[str, CallState]:
    """A proposed plan at its beginning: first the calls that an earlier plan made already, then those to make.

    A call was made already if its id, its tool and its exact arguments are those of a finished one. A plan with a fault
    is one whose calls have all failed; a runner finds the fault first, a foreign journal may hold anything.
    """
    reason = fault(calls, after, finished)
    if reason:
        return {
            call.tool_call_id: failed_call(CallState(call=call), "invalid_plan", reason) for call in calls
        }
    waits = _waits(calls, after)
    made: dict[str, CallState] = {}
    by_id = {call.tool_call_id: call for call in calls}
    for key in TopologicalSorter(waits).static_order() if finished else ():
        if key in by_id and all(other not in by_id or other in made for other in waits[key]):
            call, known = by_id[key], finished.get(key)
            bound = bind(
                CallState(call=call, sources=references.sources(call.arguments)), {**finished, **made}
            )
            if known is not None and bound.call == known.call and not bound.unresolved:
                made[key] = replace(known, after=())
    rest = {
        key: _to_make(call, waits[key], by_id, made, finished)
        for key, call in by_id.items()
        if key not in made
    }
    return {**{key: made[key] for key in by_id if key in made}, **rest}


def _waits(calls: Sequence[ToolCall], after: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each call those that it waits for, by order or by reference."""
    return {
        call.tool_call_id: tuple(
            dict.fromkeys((*after.get(call.tool_call_id, ()), *references.sources(call.arguments)))
        )
        for call in calls
    }


def _to_make(
    call: ToolCall, waits: Sequence[str], plan: Mapping[str, ToolCall], made: Calls, finished: Calls
) -> CallState:
    sources = references.sources(call.arguments)
    own = tuple(key for key in waits if key in plan)
    state = CallState(call=call, after=own, sources=sources, is_bound=not sources)
    return state if any(key not in made for key in own) else bind(state, {**finished, **made})


def bind(call: CallState, known: Calls) -> CallState:
    """The call with its references filled in from `known`, which holds every source."""
    if not call.sources:
        return call
    results = {key: one.result.content for key in call.sources if (one := known[key]).result is not None}
    reason = references.missing(call.call.arguments, results)
    if reason:
        return replace(call, is_bound=True, unresolved=reason)
    arguments = references.filled(call.call.arguments, results)
    return replace(call, is_bound=True, call=replace(call.call, arguments=arguments))


def judged(calls: Calls, finished: Calls) -> dict[str, CallState]:
    """The same calls; the results that are back count, and the arguments of what waited for them are filled in."""
    counted = dict(calls)
    for key, call in calls.items():
        if not call.judged and call.status in BACK:
            counted[key] = replace(call, judged=True)
    for key, call in counted.items():
        if not call.is_bound and may_run(call, counted):
            counted[key] = bind(call, {**finished, **counted})
    return counted


def is_over(calls: Calls) -> bool:
    """Whether every call has a result that counts."""
    return all(call.judged for call in calls.values())


def kept(finished: Calls, calls: Calls) -> dict[str, CallState]:
    """The finished calls once those of a plan that is over are among them, the newest last."""
    succeeded = {key: call for key, call in calls.items() if call.status is RETURNED}
    every = [*((key, call) for key, call in finished.items() if key not in succeeded), *succeeded.items()]
    return dict(every[-MAX_FINISHED:])


def summary(tool_call_id: str, calls: Calls) -> ToolResult:
    """What the model reads of a plan that is over: for each call its result, or its error with the reason, as JSON.

    The labels are those of all results, for the summary holds them all.
    """
    passed_on = {source for call in calls.values() for source in call.sources}
    outcomes = {key: _outcome(call, passed_on=key in passed_on) for key, call in calls.items()}
    results = [call.result for call in calls.values() if call.result is not None]
    return ToolResult(
        tool_call_id=tool_call_id,
        content=msgspec.json.encode(outcomes).decode(),
        error=_plan_error(calls),
        labels=tuple(dict.fromkeys(label for result in results for label in result.labels)),
    )


def _outcome(call: CallState, *, passed_on: bool) -> dict[str, object]:
    content = "" if call.result is None else call.result.content
    if call.status is FAILED:
        return {"error": "" if call.result is None else call.result.error, "reason": content}
    if passed_on and len(content) > MAX_CHARS_PASSED_ON:
        return {"result": content[:MAX_CHARS_PASSED_ON] + "…", "characters": len(content)}
    value = references.decoded(content)
    return {"result": content if value is content else msgspec.Raw(content.encode())}


def _plan_error(calls: Calls) -> str:
    """A plan failed where nothing of it succeeded; the code is that of its calls, if all have the same."""
    if any(call.status is RETURNED for call in calls.values()):
        return ""
    codes = {call.result.error for call in calls.values() if call.result is not None}
    return codes.pop() if len(codes) == 1 else "plan_failed"


def failed_call(call: CallState, code: str, reason: str) -> CallState:
    """The call, failed without having been made."""
    result = ToolResult(tool_call_id=call.call.tool_call_id, content=reason, error=code)
    return replace(call, status=FAILED, result=result)
