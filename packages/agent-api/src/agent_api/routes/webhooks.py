"""`/api/v1/webhooks`: who is told of what runs do, and what came of it."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.operations import Operations
from agent_api.webhooks.hooks import (
    DeliveryPage,
    DeliveryView,
    EventType,
    ShownWebhook,
    Status,
    WebhookView,
)

Url = Annotated[
    str,
    msgspec.Meta(
        min_length=8, max_length=2000, pattern=r"^https?://", examples=["https://example.org/hooks/agent"]
    ),
]
Events = Annotated[
    tuple[EventType, ...], msgspec.Meta(min_length=1, max_length=20, examples=[["run.done", "run.failed"]])
]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/webhooks`."""

    url: Url
    """Where messages are posted to: a public address, or one that the setting `webhook_networks` opens."""
    events: Events
    name: Name = ""


class ChangeWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/v1/webhooks/{id}`; what is left out stays."""

    url: Url | None = None
    events: Events | None = None
    name: Name | None = None
    enabled: bool | None = None
    """True: it is sent what it is owed, however long it was disabled."""


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/webhooks/{id}/rotate`."""

    grace_s: Annotated[float, msgspec.Meta(ge=0, le=604_800)] = 86_400.0
    """How long messages are signed with the secret before as well."""


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    """The webhooks of a tenant."""

    items: tuple[WebhookView, ...]


class WebhooksController(Controller):
    """Webhooks of one tenant."""

    path = "/api/v1/webhooks"
    tags = ("webhooks",)

    @post(
        opt={"scope": Scope.WEBHOOKS_WRITE, "shown_once": True},
        status_code=HTTP_201_CREATED,
        summary="Make a webhook",
    )
    async def create(
        self,
        data: JSONBody[NewWebhook],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> ShownWebhook:
        """Messages are signed as Standard Webhooks says, and sent until they come through: at least once, in any order."""
        return await operations.webhooks.create(
            url=data.url,
            name=data.name,
            events=data.events,
            key_id=principal.key.key_id,
            attempt=principal.attempt,
        )

    @get(opt={"scope": Scope.WEBHOOKS_READ}, summary="List webhooks")
    async def all(self, operations: NamedDependency[Operations]) -> WebhookList:
        """The newest last."""
        return WebhookList(items=tuple(await operations.webhooks.all()))

    @get("/{webhook_id:str}", opt={"scope": Scope.WEBHOOKS_READ}, summary="Look at a webhook")
    async def show(self, webhook_id: FromPath[str], operations: NamedDependency[Operations]) -> WebhookView:
        """Without its secret."""
        return await operations.webhooks.view(webhook_id)

    @patch("/{webhook_id:str}", opt={"scope": Scope.WEBHOOKS_WRITE}, summary="Change a webhook")
    async def change(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[ChangeWebhook],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> WebhookView:
        """Its address, its events, its name; disable and enable it. One that is enabled again is of the key that asks."""
        return await operations.webhooks.change(
            webhook_id,
            url=data.url,
            name=data.name,
            events=data.events,
            is_enabled=data.enabled,
            key_id=principal.key.key_id,
        )

    @delete(
        "/{webhook_id:str}",
        opt={"scope": Scope.WEBHOOKS_WRITE},
        status_code=HTTP_204_NO_CONTENT,
        summary="Remove a webhook",
    )
    async def remove(self, webhook_id: FromPath[str], operations: NamedDependency[Operations]) -> None:
        """With what it is owed, and the log of what it got."""
        await operations.webhooks.remove(webhook_id)

    @post(
        "/{webhook_id:str}/rotate",
        opt={"scope": Scope.WEBHOOKS_WRITE, "shown_once": True},
        status_code=HTTP_201_CREATED,
        summary="Rotate a webhook's secret",
    )
    async def rotate(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[RotateSecret],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> ShownWebhook:
        """For a while messages carry a signature of each."""
        return await operations.webhooks.rotate(webhook_id, grace_s=data.grace_s, attempt=principal.attempt)

    @post(
        "/{webhook_id:str}/test",
        opt={"scope": Scope.WEBHOOKS_WRITE},
        status_code=HTTP_202_ACCEPTED,
        summary="Send a test message",
    )
    async def test(
        self,
        webhook_id: FromPath[str],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> DeliveryView:
        """Of the type `webhook.test`; the log of deliveries says what came of it."""
        return await operations.webhooks.test(webhook_id, attempt=principal.attempt)

    @get(
        "/{webhook_id:str}/deliveries",
        opt={"scope": Scope.WEBHOOKS_READ},
        summary="What was sent to a webhook",
    )
    async def deliveries(
        self,
        webhook_id: FromPath[str],
        operations: NamedDependency[Operations],
        status: Annotated[Status | None, QueryParameter(description="Only those.")] = None,
        cursor: Annotated[
            int, QueryParameter(ge=0, le=2**62, description="`next_cursor` of the page before.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    ) -> DeliveryPage:
        """The newest first; kept for 30 days."""
        return await operations.webhooks.deliveries(webhook_id, status=status, cursor=cursor, limit=limit)

    @post(
        "/{webhook_id:str}/deliveries/{message_id:str}/redeliver",
        opt={"scope": Scope.WEBHOOKS_WRITE},
        status_code=HTTP_202_ACCEPTED,
        summary="Send a message once more",
    )
    async def redeliver(
        self, webhook_id: FromPath[str], message_id: FromPath[str], operations: NamedDependency[Operations]
    ) -> DeliveryView:
        """Under the id that it had."""
        return await operations.webhooks.redeliver(webhook_id, message_id)
