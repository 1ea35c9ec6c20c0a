"""Tasks as JSON, in both revisions: 1.0, whose shapes are those of its protobuf, and 0.3, where everything names its kind. Pure.

Source: a2a-protocol.org/v1.0.0/specification and /v0.3.0/specification.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from agent_api.a2a.parts import Said, part_v03, part_v1
from agent_api.a2a.tasks import Begun, Chunk, Moved, Task
from agent_core.json_types import JsonObject
from agent_core.messages import Text

ANSWER = "answer"
"""The id of the one artifact that a task has."""


class Revision(StrEnum):
    """A revision of the protocol, as the header `A2A-Version` names it."""

    V1 = "1.0"
    V03 = "0.3"


class Shapes(msgspec.Struct, frozen=True, kw_only=True):
    """How one revision writes."""

    task: Callable[[Task, int | None], JsonObject]
    """A task, and how much of its history is shown (None: all of it)."""
    sent: Callable[[JsonObject], JsonObject]
    """The answer to a message, from the task."""
    update: Callable[[Begun | Moved | Chunk], JsonObject]
    """What a stream says."""


def timestamp(at: float) -> str:
    """A time as the protocol writes it (RFC 3339, in UTC, with milliseconds)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ── 1.0 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _task_v1(task: Task, history: int | None = None) -> JsonObject:
    shown: dict[str, Any] = {"id": task.id, "contextId": task.context_id, "status": _status_v1(task)}
    if task.answer:
        shown["artifacts"] = [_artifact_v1(task.answer, task.files)]
    if history is None or history > 0:
        shown["history"] = [_message_v1(task, "ROLE_USER", f"{task.id}-asked", *task.asked)]
    return shown


def _status_v1(task: Task) -> JsonObject:
    state = "TASK_STATE_" + task.state.value.upper().replace("-", "_")
    status: dict[str, Any] = {"state": state, "timestamp": timestamp(task.at)}
    if task.said:
        status["message"] = _message_v1(task, "ROLE_AGENT", f"{task.id}-{task.state}", Text(text=task.said))
    return status


def _message_v1(task: Task, role: str, message_id: str, *said: Said) -> JsonObject:
    named = {"messageId": message_id, "contextId": task.context_id, "taskId": task.id}
    return {**named, "role": role, "parts": [part_v1(part) for part in said]}


def _artifact_v1(text: str, files: Sequence[Said] = ()) -> JsonObject:
    return {"artifactId": ANSWER, "parts": [part_v1(part) for part in (Text(text=text), *files)]}


def _update_v1(update: Begun | Moved | Chunk) -> JsonObject:
    place = {"taskId": update.task.id, "contextId": update.task.context_id}
    match update:
        case Begun(task=task):
            return {"task": _task_v1(task)}
        case Moved(task=task):
            return {"statusUpdate": {**place, "status": _status_v1(task)}}
        case Chunk(text=text, is_more=is_more, is_last=is_last):
            more = {"append": is_more, "lastChunk": is_last}
            artifact = _artifact_v1(text, update.task.files if is_last else ())
            return {"artifactUpdate": {**place, "artifact": artifact, **more}}


# ── 0.3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _task_v03(task: Task, history: int | None = None) -> JsonObject:
    shown: dict[str, Any] = {
        "kind": "task",
        "id": task.id,
        "contextId": task.context_id,
        "status": _status_v03(task),
    }
    if task.answer:
        shown["artifacts"] = [_artifact_v03(task.answer, task.files)]
    if history is None or history > 0:
        shown["history"] = [_message_v03(task, "user", f"{task.id}-asked", *task.asked)]
    return shown


def _status_v03(task: Task) -> JsonObject:
    status: dict[str, Any] = {"state": task.state.value, "timestamp": timestamp(task.at)}
    if task.said:
        status["message"] = _message_v03(task, "agent", f"{task.id}-{task.state}", Text(text=task.said))
    return status


def _message_v03(task: Task, role: str, message_id: str, *said: Said) -> JsonObject:
    named = {"kind": "message", "messageId": message_id, "contextId": task.context_id, "taskId": task.id}
    return {**named, "role": role, "parts": [part_v03(part) for part in said]}


def _artifact_v03(text: str, files: Sequence[Said] = ()) -> JsonObject:
    return {"artifactId": ANSWER, "parts": [part_v03(part) for part in (Text(text=text), *files)]}


def _update_v03(update: Begun | Moved | Chunk) -> JsonObject:
    place = {"taskId": update.task.id, "contextId": update.task.context_id}
    match update:
        case Begun(task=task):
            return _task_v03(task)
        case Moved(task=task):
            # The stream ends where a task waits, too.
            is_final = task.state.value != "working"
            return {"kind": "status-update", **place, "status": _status_v03(task), "final": is_final}
        case Chunk(text=text, is_more=is_more, is_last=is_last):
            more = {"append": is_more, "lastChunk": is_last}
            artifact = _artifact_v03(text, update.task.files if is_last else ())
            return {"kind": "artifact-update", **place, "artifact": artifact, **more}


def _wrapped(task: JsonObject) -> JsonObject:
    return {"task": task}


def _bare(task: JsonObject) -> JsonObject:
    return task


SHAPES = {
    Revision.V1: Shapes(task=_task_v1, sent=_wrapped, update=_update_v1),
    Revision.V03: Shapes(task=_task_v03, sent=_bare, update=_update_v03),
}
