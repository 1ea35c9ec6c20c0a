"""The A2A project's own client against a daemon, in both revisions: `a2a_client.py ADDRESS KEY`. Prints the name of each check that holds."""

import asyncio
import sys
import uuid
from contextlib import asynccontextmanager

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers.proto_helpers import get_artifact_text, new_text_message
from a2a.types.a2a_pb2 import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import A2AError

THREE = "w0 w1 w2"


class Daemon:
    """Where the daemon is, and its key."""

    def __init__(self, address, key):
        self.address = address
        self.headers = {"Authorization": f"Bearer {key}"}

    @asynccontextmanager
    async def speaking(self, revision, *, streaming=True):
        """A client, which finds the daemon by its card."""
        async with httpx.AsyncClient(headers=self.headers, timeout=60, trust_env=False) as http:
            config = ClientConfig(httpx_client=http, streaming=streaming)
            found = await ClientFactory(config).create_from_url(self.address)
            card = found._card
            for one in list(card.supported_interfaces):
                if one.protocol_version != revision:
                    card.supported_interfaces.remove(one)
            assert len(card.supported_interfaces) == 1
            yield ClientFactory(config).create(card)


def says(text, *, wait=True):
    message = new_text_message(text, role=Role.ROLE_USER)
    message.message_id = uuid.uuid4().hex
    return SendMessageRequest(
        message=message, configuration=SendMessageConfiguration(return_immediately=not wait)
    )


async def heard(client, request):
    return [update async for update in client.send_message(request)]


def in_both(check):
    """Run a check in each revision."""

    def run(client):
        for revision in ("1.0", "0.3"):
            asyncio.run(check(client, revision))

    return run


async def _send(daemon, revision):
    async with daemon.speaking(revision, streaming=False) as client:
        (reply,) = await heard(client, says("calls=1 words=3"))
        assert reply.task.status.state == TaskState.TASK_STATE_COMPLETED, reply
        assert get_artifact_text(reply.task.artifacts[0]).strip() == THREE
        again = await client.get_task(GetTaskRequest(id=reply.task.id))
        assert again.id == reply.task.id
        assert again.context_id == reply.task.context_id


async def _stream(daemon, revision):
    async with daemon.speaking(revision) as client:
        first, *rest = await heard(client, says("words=3 ms=20"))
        assert first.task.id
        text = ""
        for update in rest:
            if update.HasField("artifact_update"):
                said = get_artifact_text(update.artifact_update.artifact)
                text = text + said if update.artifact_update.append else said
        assert text.strip() == THREE
        assert rest[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def _cancel(daemon, revision):
    async with daemon.speaking(revision) as client:
        stream = client.send_message(says("words=1000 ms=50"))
        task_id = (await anext(stream)).task.id
        subscribed = client.subscribe(SubscribeToTaskRequest(id=task_id))
        assert (await anext(subscribed)).task.id == task_id
        cancelled = await client.cancel_task(CancelTaskRequest(id=task_id))
        assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
        async for update in subscribed:
            last = update
        assert last.status_update.status.state == TaskState.TASK_STATE_CANCELED


async def _errors(daemon, revision):
    async with daemon.speaking(revision) as client:
        for ask in (
            client.get_task(GetTaskRequest(id="run_none")),
            client.cancel_task(CancelTaskRequest(id="run_none")),
        ):
            said = ""
            try:
                await ask
            except (A2AError, A2AClientError) as error:
                said = str(error)
            assert "run_none" in said


async def _look(daemon, revision):
    async with daemon.speaking(revision) as client:
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
        assert "calculator" in {skill.id for skill in card.skills}
        if revision == "1.0":
            tasks = await client.list_tasks(ListTasksRequest(page_size=2))
            assert len(tasks.tasks) == 2
            assert tasks.total_size > 2


async def _files(daemon, revision):
    async with daemon.speaking(revision, streaming=False) as client:
        request = says("words=3")
        request.message.parts.append(Part(raw=b"dots", media_type="image/png", filename="dots.png"))
        request.message.parts.append(Part(url="https://example.org/a.pdf", media_type="application/pdf"))
        (reply,) = await heard(client, request)
        shown = reply.task.history[0].parts
        assert [part.WhichOneof("content") for part in shown] == ["text", "raw", "url"], shown
        assert (shown[1].raw, shown[1].media_type) == (b"dots", "image/png")


async def _push(daemon, revision):
    async with daemon.speaking(revision, streaming=False) as client:
        (reply,) = await heard(client, says("words=1"))
        task_id = reply.task.id
        wanted = TaskPushNotificationConfig(
            task_id=task_id,
            id="mine",
            url="http://127.0.0.1:9/",  # nobody listens there
            token="t",
            authentication=AuthenticationInfo(scheme="Bearer", credentials="theirs"),
        )
        made = await client.create_task_push_notification_config(wanted)
        assert (made.id, made.url, made.token) == ("mine", wanted.url, "t")
        named = GetTaskPushNotificationConfigRequest(task_id=task_id, id="mine")
        assert (await client.get_task_push_notification_config(named)).authentication.scheme == "Bearer"
        every = ListTaskPushNotificationConfigsRequest(task_id=task_id)
        assert [one.id for one in (await client.list_task_push_notification_configs(every)).configs] == [
            "mine"
        ]
        gone = DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="mine")
        await client.delete_task_push_notification_config(gone)
        assert not (await client.list_task_push_notification_configs(every)).configs


def files(client):
    in_both(_files)(client)


def push(client):
    in_both(_push)(client)


def send(client):
    in_both(_send)(client)


def stream(client):
    in_both(_stream)(client)


def cancel(client):
    in_both(_cancel)(client)


def errors(client):
    in_both(_errors)(client)


def look(client):
    in_both(_look)(client)


if __name__ == "__main__":
    for check in (files, push, send, stream, cancel, errors, look):
        check(Daemon(*sys.argv[1:]))
        sys.stdout.write(f"{check.__name__}\n")
        sys.stdout.flush()
