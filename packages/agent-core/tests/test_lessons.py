"""Lessons are short, few, and told once."""

from agent_core import lessons
from agent_core.lessons import Lesson
from agent_core.planning import CallState, CallStatus
from agent_core.tools import ToolCall, ToolResult


def back(tool, content="", error="", key="c"):
    return CallState(
        call=ToolCall(tool_call_id=key, name=tool, arguments={"x": 1}),
        status=CallStatus.FAILED if error else CallStatus.RETURNED,
        result=ToolResult(tool_call_id=key, content=content, error=error),
    )


def test_a_rejected_result_leaves_its_reason():
    learned = lessons.from_results((), [back("t", "")], reason="empty", rejected=("c",))
    assert learned == (Lesson(reason="empty", tool="t"),)


def test_only_the_tool_that_failed_can_set_it_right():
    learned = lessons.from_results((), [back("t", "no", "failed")])
    assert lessons.from_results(learned, [back("u", "ok")]) == learned
    fixed = lessons.from_results(learned, [back("t", "ok")])
    assert fixed == (Lesson(reason="failed: no", tool="t", fixed_by='{"x":1}'),)
    assert lessons.from_results(fixed, [back("t", "again")]) == fixed


def test_what_was_not_made_is_no_lesson():
    calls = [back("t", "no", code) for code in ("denied", "skipped", "limit_reached")]
    calls.append(CallState(call=calls[0].call))
    assert lessons.from_results((), calls) == ()


def test_the_same_lesson_is_kept_once_and_old_ones_go_first():
    learned = ()
    for number in range(lessons.MAX_LESSONS + 2):
        learned = lessons.from_results(learned, [back("t", str(number), "failed")])
    learned = lessons.from_results(learned, [back("t", "9", "failed")])
    assert len(learned) == lessons.MAX_LESSONS
    assert (learned[0].reason, learned[-1].reason) == ("failed: 2", "failed: 9")


def test_a_lesson_is_short():
    (lesson,) = lessons.from_revised_answer((), "x" * 1_000)
    assert len(lesson.reason) == lessons.MAX_CHARS
    (fixed,) = lessons.from_accepted_answer((lesson,), "right")
    assert fixed.fixed_by == "right"
