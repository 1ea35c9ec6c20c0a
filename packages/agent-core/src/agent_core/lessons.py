"""What a run learned: which result or answer was rejected, why, and what came right afterwards. Pure and bounded."""

from collections.abc import Collection, Iterable

import msgspec
from msgspec.structs import replace

from agent_core.planning import FAILED, CallState
from agent_core.progress import OWN_CODES

MAX_LESSONS = 16
"""The oldest go first."""
MAX_CHARS = 300


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that did not do, for a memory to keep."""

    reason: str
    tool: str = ""
    """Empty: it was the answer."""
    fixed_by: str = ""
    """The arguments (JSON) or the answer that came right; empty where nothing has."""


Lessons = tuple[Lesson, ...]


def from_results(
    lessons: Lessons, fresh: Iterable[CallState], *, reason: str = "", rejected: Collection[str] = ()
) -> Lessons:
    """The lessons once the `fresh` results count.

    Args:
        lessons: Those before.
        fresh: The calls whose results were judged now.
        reason: Why results were rejected.
        rejected: The ids of the calls that were rejected for it; a failure is a lesson by itself.
    """
    for call in fresh:
        result = call.result
        if result is None or result.error in OWN_CODES:
            continue
        if call.call.tool_call_id in rejected:
            lessons = _with(lessons, Lesson(reason=_clipped(reason), tool=call.call.name))
        elif call.status is FAILED:
            failure = _clipped(f"{result.error}: {result.content}")
            lessons = _with(lessons, Lesson(reason=failure, tool=call.call.name))
        elif lessons:
            arguments = _clipped(msgspec.json.encode(call.call.arguments).decode())
            lessons = _fixed(lessons, call.call.name, arguments)
    return lessons


def from_revised_answer(lessons: Lessons, reason: str) -> Lessons:
    """The lessons once an answer was sent back for `reason`."""
    return _with(lessons, Lesson(reason=_clipped(reason)))


def from_accepted_answer(lessons: Lessons, answer: str) -> Lessons:
    """The lessons once an answer was accepted."""
    return _fixed(lessons, "", _clipped(answer))


def _with(lessons: Lessons, lesson: Lesson) -> Lessons:
    kept = tuple(one for one in lessons if (one.reason, one.tool) != (lesson.reason, lesson.tool))
    return (*kept[1 - MAX_LESSONS :], lesson)


def _fixed(lessons: Lessons, tool: str, fixed_by: str) -> Lessons:
    return tuple(
        replace(one, fixed_by=fixed_by) if one.tool == tool and not one.fixed_by else one for one in lessons
    )


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
