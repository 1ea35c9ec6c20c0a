"""The methods of the protocol, by their names in both revisions: parameters read, tasks asked, answers written."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from agent_api.a2a import push_methods
from agent_api.a2a.parts import Said, part_of
from agent_api.a2a.shapes import Revision, Shapes
from agent_api.a2a.tasks import UNSUPPORTED_OPERATION, Task, Tasks, TaskState
from agent_api.errors import A2aRefusedError
from agent_api.openai.talk import Waiting
from agent_core.json_types import JsonObject
from agent_core.messages import Text
from agent_skills.mcp.wire import Code

Result: TypeAlias = JsonObject | list[JsonObject] | None
"""What a method answers; a list and null are of revision 0.3."""
_Params = TypeVar("_Params")
_History = Annotated[int, msgspec.Meta(ge=0)]


class _Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    history_length: _History | None = None
    return_immediately: bool = False
    blocking: bool | None = None
    """Of revision 0.3: False is `return_immediately`."""
    task_push_notification_config: push_methods.ConfigV1 | None = None
    push_notification_config: push_methods.ConfigV03 | None = None
    """The same, of revision 0.3."""

    @property
    def push(self) -> push_methods.ConfigV1 | push_methods.ConfigV03 | None:
        return self.task_push_notification_config or self.push_notification_config

    @property
    def waits(self) -> bool:
        return not self.return_immediately and self.blocking is not False


class _Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    message_id: Annotated[str, msgspec.Meta(min_length=1)]
    role: Literal["user", "ROLE_USER"]
    parts: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    task_id: str | None = None
    context_id: str | None = None

    @property
    def said(self) -> tuple[Said, ...]:
        """What it says; data is shown as the JSON that it is."""
        return tuple(map(part_of, self.parts))


class _Send(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    message: _Message
    configuration: _Configuration | None = None


class _Get(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: str
    history_length: _History | None = None


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _List(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    context_id: str = ""
    status: str = ""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    page_token: str = ""
    history_length: _History | None = None
    status_timestamp_after: datetime | None = None
    include_artifacts: bool = False


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and in which revision."""

    tasks: Tasks
    pushing: push_methods.PushCalls
    shapes: Shapes
    card: Callable[[], JsonObject]
    """What the agent can do, for who has a key."""


async def _send(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, _Send)
    chosen = given.configuration or _Configuration()
    task = await _sent(caller, given)
    if chosen.waits:
        task = await caller.tasks.rest(task.id)
    return caller.shapes.sent(caller.shapes.task(task, chosen.history_length))


async def _sent(caller: Caller, given: _Send) -> Task:
    message, said = given.message, given.message.said
    if not any(part.text.strip() if isinstance(part, Text) else True for part in said):
        raise A2aRefusedError(Code.INVALID_PARAMS, "the message says nothing")
    push = given.configuration.push if given.configuration else None
    if push is not None:  # before anything is begun of which nobody would be told
        caller.tasks.may_push(write=True)
        await caller.pushing.check(push.url)
    task = await caller.tasks.send(said, task_id=message.task_id or "", context_id=message.context_id or "")
    if push is not None:
        await caller.pushing.put(push.push(task.id))
    return task


async def _get(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, _Get)
    return caller.shapes.task(await caller.tasks.get(given.id), given.history_length)


async def _cancel(caller: Caller, params: JsonObject) -> JsonObject:
    task = await caller.tasks.cancel(_read(params, _Named).id)
    return caller.shapes.task(task, None)


async def _list(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, _List)
    after = given.status_timestamp_after
    tasks, token, total = await caller.tasks.listed(
        context_id=given.context_id,
        state=_state(given.status),
        after=after.timestamp() if after else 0.0,
        limit=given.page_size,
        token=given.page_token,
    )
    if not given.include_artifacts:
        tasks = [msgspec.structs.replace(task, answer="") for task in tasks]
    shown = [caller.shapes.task(task, given.history_length) for task in tasks]
    return {"tasks": shown, "nextPageToken": token, "pageSize": len(shown), "totalSize": total}


def _state(name: str) -> TaskState | None:
    if name in {"", "TASK_STATE_UNSPECIFIED"}:
        return None
    word = name.removeprefix("TASK_STATE_").lower().replace("_", "-")
    try:
        return TaskState(word)
    except ValueError:
        raise A2aRefusedError(Code.INVALID_PARAMS, f"no task stands as {name!r} here") from None


async def _card(caller: Caller, _: JsonObject) -> JsonObject:
    return caller.card()


async def _push_v1(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.ConfigV1)
    return await caller.pushing.put(given.push(given.task_id))


async def _push_v03(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.SetV03)
    return await caller.pushing.put(given.push_notification_config.push(given.task_id))


async def _pushed_v1(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.NamedV1)
    return await caller.pushing.get(given.task_id, given.id)


async def _pushed_v03(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.NamedV03)
    return await caller.pushing.get(given.id, given.push_notification_config_id)


async def _pushes_v1(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.NamedV1)
    return {"configs": await caller.pushing.listed(given.task_id), "nextPageToken": ""}


async def _pushes_v03(caller: Caller, params: JsonObject) -> list[JsonObject]:
    return await caller.pushing.listed(_read(params, push_methods.NamedV03).id)


async def _no_push_v1(caller: Caller, params: JsonObject) -> JsonObject:
    given = _read(params, push_methods.NamedV1)
    await caller.pushing.remove(given.task_id, given.id)
    return {}


async def _no_push_v03(caller: Caller, params: JsonObject) -> None:
    given = _read(params, push_methods.NamedV03)
    await caller.pushing.remove(given.id, given.push_notification_config_id)


async def _stream(caller: Caller, params: JsonObject) -> Task:
    return await _sent(caller, _read(params, _Send))


async def _subscribe(caller: Caller, params: JsonObject) -> Task:
    task = await caller.tasks.get(_read(params, _Named).id)
    if task.is_over:
        raise A2aRefusedError(UNSUPPORTED_OPERATION, f"task {task.id!r} is over: get it instead")
    return task


_V1, _V03 = Revision.V1, Revision.V03
METHODS: Mapping[str, tuple[Revision, Callable[[Caller, JsonObject], Awaitable[Result]]]] = {
    "SendMessage": (_V1, _send),
    "GetTask": (_V1, _get),
    "ListTasks": (_V1, _list),
    "CancelTask": (_V1, _cancel),
    "GetExtendedAgentCard": (_V1, _card),
    "CreateTaskPushNotificationConfig": (_V1, _push_v1),
    "GetTaskPushNotificationConfig": (_V1, _pushed_v1),
    "ListTaskPushNotificationConfigs": (_V1, _pushes_v1),
    "DeleteTaskPushNotificationConfig": (_V1, _no_push_v1),
    "message/send": (_V03, _send),
    "tasks/get": (_V03, _get),
    "tasks/cancel": (_V03, _cancel),
    "agent/getAuthenticatedExtendedCard": (_V03, _card),
    "tasks/pushNotificationConfig/set": (_V03, _push_v03),
    "tasks/pushNotificationConfig/get": (_V03, _pushed_v03),
    "tasks/pushNotificationConfig/list": (_V03, _pushes_v03),
    "tasks/pushNotificationConfig/delete": (_V03, _no_push_v03),
}
STREAMS: Mapping[str, tuple[Revision, Callable[[Caller, JsonObject], Awaitable[Task]]]] = {
    "SendStreamingMessage": (_V1, _stream),
    "SubscribeToTask": (_V1, _subscribe),
    "message/stream": (_V03, _stream),
    "tasks/resubscribe": (_V03, _subscribe),
}


def revision_of(method: str) -> Revision:
    """The revision that a method belongs to.

    Raises:
        A2aRefusedError: there is no such method.
    """
    found = METHODS.get(method) or STREAMS.get(method)
    if found is None:
        raise A2aRefusedError(Code.METHOD_NOT_FOUND, f"there is no method {method!r}")
    return found[0]


async def updates(caller: Caller, task: Task) -> AsyncGenerator[JsonObject | Waiting]:
    """What a stream says of a task, first how it stands.

    Raises:
        AgentError: the journal cannot be read.
    """
    async with aclosing(caller.tasks.listen(task.id)) as heard:
        async for update in heard:
            yield update if isinstance(update, Waiting) else caller.shapes.update(update)


def _read(params: JsonObject, kind: type[_Params]) -> _Params:
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise A2aRefusedError(Code.INVALID_PARAMS, str(error)) from None
