"""A plan as a graph: what is ready, what can never run, what is wrong with a proposal."""

import json

import pytest
from msgspec.structs import replace

from agent_core import planning
from agent_core.planning import CallState, CallStatus
from agent_core.tools import Label, ToolCall, ToolResult

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
    "more than allowed": (
        [str(number) for number in range(planning.MAX_NODES + 1)],
        {},
        "The plan has 65 calls; 64 are allowed.",
    ),
}


@pytest.mark.parametrize(("calls", "after", "fault"), FAULT_CASES.values(), ids=FAULT_CASES.keys())
def test_the_fault_of_a_proposed_plan(calls, after, fault):
    assert planning.fault(tuple(tool_call(key) for key in calls), after) == fault


def test_a_circle_is_named():
    calls = tuple(tool_call(key) for key in "abc")
    assert planning.fault(calls, {"a": ("c",), "b": ("a",), "c": ("b",)}).startswith(
        "The plan waits for itself: "
    )


def ref(key, path=None):
    return {"$ref": key} if path is None else {"$ref": key, "path": path}


def node(key, name="t", **arguments):
    return ToolCall(tool_call_id=key, name=name, arguments=arguments)


REFERENCE_FAULTS = {
    "to a call of the plan": ([node("a"), node("b", x=ref("a"))], ""),
    "to a call of an earlier plan": ([node("b", x=[{"y": ref("old", "z")}])], ""),
    "dangling": ([node("b", x=ref("x"))], "The plan refers to 'x', which is no call in it."),
    "to itself": ([node("a", x=ref("a"))], "The plan waits for itself: a -> a."),
    "malformed": (
        [node("a"), node("b", x={"$ref": "a", "as": "text"})],
        "The call 'b' of the plan cannot be read: a reference is",
    ),
}


@pytest.mark.parametrize(("calls", "reason"), REFERENCE_FAULTS.values(), ids=REFERENCE_FAULTS.keys())
def test_the_fault_of_references(calls, reason):
    found = planning.fault(calls, {}, ["old"])
    assert found.startswith(reason)
    assert bool(found) is bool(reason)


def finished(call, content):
    result = ToolResult(tool_call_id=call.tool_call_id, content=content, labels=(Label.RETURNS_UNTRUSTED,))
    return CallState(call=call, status=RETURNED, judged=True, result=result)


def test_a_plan_waits_for_what_it_refers_to_and_for_what_it_says():
    calls = planning.begun([node("c", x=ref("a")), node("b"), node("a")], {"c": ("b",)}, {})
    assert {key: call.after for key, call in calls.items()} == {"c": ("b", "a"), "b": (), "a": ()}
    assert (calls["c"].sources, calls["c"].is_bound) == (("a",), False)
    assert keys(planning.ready(calls)) == ["b", "a"]


def test_a_result_that_counts_is_filled_in_once():
    calls = planning.begun([node("a"), node("b", x=ref("a"), y=ref("a", "n.0"))], {}, {})
    tricky = '{"n": [{"$ref": "b"}]}'
    calls["a"] = replace(calls["a"], status=RETURNED, result=ToolResult(tool_call_id="a", content=tricky))
    calls = planning.judged(calls, {})
    assert calls["b"].call.arguments == {"x": {"n": [ref("b")]}, "y": ref("b")}
    assert planning.judged(calls, {})["b"] == calls["b"]
    assert keys(planning.ready(calls)) == ["b"]


def test_a_reference_that_leads_nowhere_is_noted():
    calls = planning.begun([node("b", x=ref("old", "z"))], {}, {"old": finished(node("old"), "text")})
    assert "nothing at 'z'" in calls["b"].unresolved
    assert calls["b"].call.arguments == {"x": ref("old", "z")}
    assert calls["b"].is_bound


def test_a_call_that_succeeded_is_not_made_again_if_nothing_of_it_changed():
    old = {
        "a": finished(node("a", x=1), "5"),
        "b": finished(node("b", x=5), "b"),
        "c": finished(node("c", x=1), "c"),
    }
    again = [node("n"), node("b", x=ref("a")), node("a", x=1), node("c", x=2), node("d", x=ref("n"))]
    calls = planning.begun(again, {}, old)
    assert list(calls) == ["b", "a", "n", "c", "d"]
    assert [key for key, call in calls.items() if call.judged] == ["b", "a"]
    assert keys(planning.ready(calls)) == ["n", "c"]


def test_a_call_is_made_again_where_what_it_waits_for_is():
    old = {"a": finished(node("a", x=1), "5"), "b": finished(node("b", x=5), "b")}
    calls = planning.begun([node("a", x=2), node("b", x=ref("a"))], {}, old)
    assert not any(call.judged for call in calls.values())
    assert planning.begun([node("b", x=ref("a", "z"))], {}, old)["b"].unresolved


def test_a_plan_with_a_fault_has_failed_from_the_beginning():
    calls = planning.begun([node("a", x=ref("b")), node("b", x=ref("a"))], {}, {})
    assert [call.result.error for call in calls.values()] == ["invalid_plan", "invalid_plan"]
    assert keys(planning.unjudged(calls)) == ["a", "b"]


def test_finished_calls_are_kept_up_to_a_number_the_newest_last():
    old = {str(number): finished(node(str(number)), "") for number in range(planning.MAX_FINISHED)}
    kept = planning.kept(
        old, {"5": finished(node("5"), "new"), "x": finished(node("x"), ""), **plan(("f", FAILED))}
    )
    assert list(kept)[-2:] == ["5", "x"]
    assert kept["5"].result.content == "new"
    assert len(kept) == planning.MAX_FINISHED
    assert "f" not in kept


def test_the_summary_of_a_plan_says_what_each_call_came_to():
    long = finished(node("long"), "x" * 5_000)
    calls = {
        "text": finished(node("text"), "plain"),
        "json": finished(node("json"), '{"n": [1]}'),
        "long": long,
        "user": replace(finished(node("user"), "ok"), sources=("long", "text")),
        **plan(("bad", FAILED)),
    }
    summary = planning.summary("p", calls)
    outcomes = json.loads(summary.content)
    assert outcomes["text"] == {"result": "plain"}
    assert outcomes["json"] == {"result": {"n": [1]}}
    assert (len(outcomes["long"]["result"]), outcomes["long"]["characters"]) == (1_001, 5_000)
    assert outcomes["bad"] == {"error": "", "reason": "bad"}
    assert (summary.tool_call_id, summary.error, summary.labels) == ("p", "", (Label.RETURNS_UNTRUSTED,))


@pytest.mark.parametrize(
    ("codes", "error"), [(["a", "a"], "a"), (["a", "b"], "plan_failed"), ([], "plan_failed")]
)
def test_a_plan_of_which_nothing_succeeded_is_an_error(codes, error):
    calls = {
        str(number): planning.failed_call(CallState(call=node(str(number))), code, "no")
        for number, code in enumerate(codes)
    }
    assert planning.summary("p", calls).error == error


def test_a_failed_call_without_a_result_has_no_words():
    calls = {"a": CallState(call=node("a"), status=FAILED)}
    assert json.loads(planning.summary("p", calls).content) == {"a": {"error": "", "reason": ""}}
