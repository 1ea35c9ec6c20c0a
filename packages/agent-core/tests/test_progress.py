"""Repeated calls are counted among the latest, however many there were."""

import pytest

from agent_core import progress
from agent_core.planning import CallState, CallStatus
from agent_core.progress import Progress
from agent_core.tools import ToolCall, ToolResult


def back(arguments, content="same", error="", **more):
    return CallState(
        call=ToolCall(tool_call_id="c", name="t", arguments=arguments),
        status=CallStatus.RETURNED,
        result=ToolResult(tool_call_id="c", content=content, error=error),
        **more,
    )


def after(*calls, failed=False):
    now = Progress()
    for call in calls:
        now = progress.after_results(now, [call], failed=failed)
    return now


def test_a_pair_of_call_and_result_is_counted():
    now = after(back({"x": 1}), back({"x": 1}))
    assert (now.repeated, progress.times(now, back({"x": 1}))) == (2, 3)
    assert progress.times(now, back({"x": 2})) == 1
    assert progress.times(now, back({"x": 1}, "other")) == 1
    assert after(back({"x": 1}), back({"x": 1}), back({"x": 1}, "other")).repeated == 1


def test_no_more_are_remembered_than_allowed():
    now = after(*(back({"x": number}) for number in range(progress.MAX_SEEN + 1)))
    assert len(now.seen) == progress.MAX_SEEN
    assert progress.times(now, back({"x": 1})) == 2
    assert progress.times(now, back({"x": 0})) == 1


@pytest.mark.parametrize(
    "call", [back({}, error="denied"), back({}, vouched=True), CallState(call=back({}).call)]
)
def test_what_says_nothing_of_the_tool_is_not_counted(call):
    assert progress.times(after(call), call) == 0
    assert after(call).seen == ()


@pytest.mark.parametrize(("failed", "turns"), [(True, 2), (None, 1), (False, 0)])
def test_failed_turns_are_counted_in_a_row(failed, turns):
    assert progress.after_results(after(back({}), failed=True), [], failed=failed).failed_turns == turns
