"""A plan as a graph: what is ready, what can never run, what is wrong with a proposal."""

import pytest

from agent_core import planning
from agent_core.planning import CallState, CallStatus
from agent_core.tools import ToolCall, ToolResult

OPEN, STARTED, ASKED = CallStatus.OPEN, CallStatus.STARTED, CallStatus.ASKED
RETURNED, FAILED = CallStatus.RETURNED, CallStatus.FAILED


def tool_call(key):
    return ToolCall(tool_call_id=key, name="t", arguments={})


def plan(*nodes):
    """A plan of (key, status, keys it waits for); what is back counts, unless the key ends in '?'."""
    calls = {}
    for name, status, *after in nodes:
        key = name.rstrip("?")
        back = status in {RETURNED, FAILED}
        calls[key] = CallState(
            call=tool_call(key),
            status=status,
            after=tuple(after),
            judged=back and not name.endswith("?"),
            result=ToolResult(tool_call_id=key, content=key) if back else None,
        )
    return calls


def keys(calls):
    return [call.call.tool_call_id for call in calls]


READY_CASES = {
    "nothing": (plan(), []),
    "all without edges, in plan order": (plan(("b", OPEN), ("a", OPEN)), ["b", "a"]),
    "an interrupted one too": (plan(("a", STARTED)), ["a"]),
    "not the asked one": (plan(("a", ASKED)), []),
    "not what is back": (plan(("a", RETURNED), ("b", FAILED)), []),
    "what waits for a result that counts": (plan(("a", RETURNED), ("b", OPEN, "a")), ["b"]),
    "not what waits for a result that is not judged": (plan(("a?", RETURNED), ("b", OPEN, "a")), []),
    "not what waits for a failure": (plan(("a", FAILED), ("b", OPEN, "a")), []),
    "not what waits for two, one of them open": (
        plan(("a", RETURNED), ("b", OPEN), ("c", OPEN, "a", "b")),
        ["b"],
    ),
}


@pytest.mark.parametrize(("calls", "expected"), READY_CASES.values(), ids=READY_CASES.keys())
def test_ready_are(calls, expected):
    assert keys(planning.ready(calls)) == expected


def test_asked_and_unjudged_are_told_apart():
    calls = plan(("a", ASKED), ("b?", RETURNED), ("c?", FAILED), ("d", RETURNED), ("e", OPEN))
    assert keys(planning.asked(calls)) == ["a"]
    assert keys(planning.unjudged(calls)) == ["b", "c"]


@pytest.mark.parametrize("status", CallStatus)
def test_a_call_is_back_once_it_has_a_result(status):
    assert CallState(call=tool_call("a"), status=status).is_back is (status in {RETURNED, FAILED})


def test_a_failure_skips_what_waits_for_it_however_far_and_nothing_else():
    calls = plan(
        ("end", OPEN, "middle"),
        ("middle", OPEN, "bad"),
        ("bad", FAILED),
        ("good", RETURNED),
        ("free", OPEN, "good"),
    )
    settled = planning.skip_blocked(calls)
    assert list(settled) == list(calls)
    assert {key: call.status for key, call in settled.items()} == {
        "end": FAILED,
        "middle": FAILED,
        "bad": FAILED,
        "good": RETURNED,
        "free": OPEN,
    }
    assert settled["end"].result.error == "skipped"
    assert settled["end"].result.content == "Skipped: it needs the result of middle, which failed."
    assert calls["end"].status is OPEN


@pytest.mark.parametrize("calls", [plan(), plan(("a", FAILED), ("b", OPEN)), plan(("a", RETURNED))])
def test_without_edges_nothing_is_skipped(calls):
    assert planning.skip_blocked(calls) == calls


def test_a_dropped_plan_keeps_what_is_back_and_skips_the_rest():
    calls = plan(("a", RETURNED), ("b", OPEN, "a"), ("c", FAILED))
    rest = planning.skip_rest(calls)
    assert (rest["a"], rest["c"]) == (calls["a"], calls["c"])
    assert rest["b"].status is FAILED
    assert rest["b"].result == ToolResult(
        tool_call_id="b", content="Skipped: the plan was dropped.", error="skipped"
    )


FAULT_CASES = {
    "none": (["a", "b"], {"b": ("a",)}, ""),
    "no edges": (["a"], {}, ""),
    "two of one id": (["a", "a"], {}, "Two calls of the plan have the same id."),
    "waits for a stranger": (["a"], {"a": ("x",)}, "The plan refers to 'x', which is no call in it."),
    "a stranger waits": (["a"], {"x": ("a",)}, "The plan refers to 'x', which is no call in it."),
    "waits for itself": (["a"], {"a": ("a",)}, "The plan waits for itself: a -> a."),
}


@pytest.mark.parametrize(("calls", "after", "fault"), FAULT_CASES.values(), ids=FAULT_CASES.keys())
def test_the_fault_of_a_proposed_plan(calls, after, fault):
    assert planning.fault(tuple(tool_call(key) for key in calls), after) == fault


def test_a_circle_is_named():
    calls = tuple(tool_call(key) for key in "abc")
    assert planning.fault(calls, {"a": ("c",), "b": ("a",), "c": ("b",)}).startswith(
        "The plan waits for itself: "
    )
