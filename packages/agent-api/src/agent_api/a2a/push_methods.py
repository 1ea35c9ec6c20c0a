"""The methods of push notifications, and the configuration that comes along with a message: read and written in both revisions."""

from typing import Annotated

import msgspec

from agent_api.a2a.pushes import Push, Pushes
from agent_api.a2a.shapes import Revision
from agent_api.a2a.tasks import TASK_NOT_FOUND, Tasks
from agent_api.errors import A2aRefusedError, InvalidRequestError
from agent_api.watch import news_of
from agent_core.json_types import JsonObject
from agent_skills.mcp.wire import Code

_Url = Annotated[str, msgspec.Meta(min_length=8, max_length=2_000, pattern="^https?://")]
_Id = Annotated[str, msgspec.Meta(max_length=200)]
_Word = Annotated[str, msgspec.Meta(max_length=4_000, pattern=r"^[\x21-\x7e]*$")]
"""As it can stand in a header."""


class AuthenticationV1(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver wants to see, in revision 1.0."""

    scheme: _Word = ""
    credentials: Annotated[str, msgspec.Meta(max_length=4_000, pattern=r"^[\x20-\x7e]*$")] = ""


class AuthenticationV03(msgspec.Struct, frozen=True, kw_only=True):
    """The same in revision 0.3."""

    schemes: list[_Word] = []
    credentials: Annotated[str, msgspec.Meta(max_length=4_000, pattern=r"^[\x20-\x7e]*$")] | None = None


class ConfigV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A configuration in revision 1.0."""

    url: _Url
    id: _Id = ""
    task_id: str = ""
    token: _Word = ""
    authentication: AuthenticationV1 | None = None

    def push(self, task_id: str) -> Push:
        """Where to tell of the task."""
        given = self.authentication or AuthenticationV1()
        return Push(
            task_id=task_id,
            config_id=self.id,
            revision=Revision.V1,
            url=self.url,
            token=self.token,
            scheme=given.scheme,
            credentials=given.credentials,
        )


class ConfigV03(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration in revision 0.3."""

    url: _Url
    id: _Id | None = None
    token: _Word | None = None
    authentication: AuthenticationV03 | None = None

    def push(self, task_id: str) -> Push:
        """Where to tell of the task."""
        given = self.authentication or AuthenticationV03()
        return Push(
            task_id=task_id,
            config_id=self.id or "",
            revision=Revision.V03,
            url=self.url,
            token=self.token or "",
            scheme=given.schemes[0] if given.schemes else "",
            credentials=given.credentials or "",
        )


class SetV03(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The parameters of `tasks/pushNotificationConfig/set`."""

    task_id: str
    push_notification_config: ConfigV03


class NamedV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The parameters that name a configuration of a task, in revision 1.0."""

    task_id: str
    id: str = ""


class NamedV03(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The same in revision 0.3."""

    id: str
    push_notification_config_id: str = ""


class PushCalls(msgspec.Struct, frozen=True, kw_only=True):
    """Push notifications as one key may handle them."""

    tasks: Tasks
    pushes: Pushes

    async def check(self, url: str) -> None:
        """Hold that a task may be told of at an address.

        Raises:
            A2aRefusedError: it is none that may be reached.
        """
        try:
            await self.pushes.check(url)
        except InvalidRequestError as error:
            raise A2aRefusedError(Code.INVALID_PARAMS, str(error)) from None

    async def put(self, push: Push) -> JsonObject:
        """Tell of a task from now on.

        Raises:
            A2aRefusedError: there is no such task, or the address is none that may be reached.
            ScopeMissingError: the key may not do this.
        """
        key_id = self.tasks.may_push(write=True)
        state = await self.tasks.load(push.task_id)
        await self.check(push.url)
        return shown(await self.pushes.put(push, key_id=key_id, state=state, news=news_of(state)))

    async def get(self, task_id: str, config_id: str) -> JsonObject:
        """A configuration of a task; the first, where none is named.

        Raises:
            A2aRefusedError: there is no such task, or none of that name.
        """
        found = [one for one in await self._all(task_id) if config_id in {"", one.config_id}]
        if not found:
            raise A2aRefusedError(TASK_NOT_FOUND, f"task {task_id!r} has no push notification {config_id!r}")
        return shown(found[0])

    async def listed(self, task_id: str) -> list[JsonObject]:
        """The configurations of a task.

        Raises:
            A2aRefusedError: there is no such task.
        """
        return [shown(one) for one in await self._all(task_id)]

    async def remove(self, task_id: str, config_id: str) -> None:
        """Tell no more; one that is not there is removed already.

        Raises:
            A2aRefusedError: there is no such task.
        """
        self.tasks.may_push(write=True)
        await self.tasks.load(task_id)
        await self.pushes.remove(task_id, config_id)

    async def _all(self, task_id: str) -> list[Push]:
        self.tasks.may_push(write=False)
        await self.tasks.load(task_id)
        return list(await self.pushes.all(task_id))


def shown(push: Push) -> JsonObject:
    """A configuration as its revision writes it, without its credentials."""
    token = {"token": push.token} if push.token else {}
    common = {"id": push.config_id, "url": push.url, **token}
    if push.revision is Revision.V1:
        v1 = {"authentication": {"scheme": push.scheme}} if push.scheme else {}
        return {**common, "taskId": push.task_id, **v1}
    v03 = {"authentication": {"schemes": [push.scheme]}} if push.scheme else {}
    return {"taskId": push.task_id, "pushNotificationConfig": {**common, **v03}}
