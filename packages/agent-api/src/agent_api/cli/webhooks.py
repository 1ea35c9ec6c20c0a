"""`agent webhooks`: who the daemon tells of what runs do."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent_api.cli import options
from agent_api.cli.records import Tenant, show, shown_time, tell_done, with_records

if TYPE_CHECKING:
    from agent_api.access.keys import KeyStore
    from agent_api.settings import Settings
    from agent_api.webhooks.hooks import DeliveryView, ShownWebhook, Webhooks, WebhookView
    from agent_memory.sqlite_store import SqliteStore

T = TypeVar("T")

app = typer.Typer(help="Webhooks: who the daemon tells of what runs do.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook.")]


def _with(data_dir: str | None, tenant: str | None, work: "Callable[[Webhooks], Awaitable[T]]") -> T:
    async def opened(records: "SqliteStore", keys: "KeyStore", settings: "Settings", name: str) -> T:
        import time
        from contextlib import aclosing

        from agent_api.operations import secrets_of, targets_of
        from agent_api.webhooks.hooks import Webhooks

        async with aclosing(targets_of(settings).web()) as web:
            hooks = Webhooks(
                records, web=web, wake=lambda: None, secret_of=secrets_of(keys, name), now=time.time
            )
            return await work(hooks)

    return with_records(data_dir, tenant, opened)


def _line(view: "WebhookView") -> str:
    return f"{view.webhook_id}  {view.status:<8} {view.url}  {' '.join(view.events)}  {view.reason}".rstrip()


def _tell(shown: "ShownWebhook", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return
    sys.stderr.write(f"webhook {shown.about.webhook_id}; its secret is shown this once:\n")
    sys.stdout.write(shown.secret + "\n")


@app.command()
def create(
    url: Annotated[str, typer.Argument(help="Where messages are posted to.")],
    event: Annotated[
        list[str], typer.Option(help="What it is told, such as run.done; may be given several times.")
    ],
    name: Annotated[str, typer.Option(help="To know it again.")] = "",
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a webhook, and show its secret this once."""
    import msgspec

    from agent_api.errors import InvalidRequestError
    from agent_api.webhooks.hooks import EventType

    try:
        events = msgspec.convert(event, tuple[EventType, ...])
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"an event is none: {error}", param="event") from error
    made = _with(data_dir, tenant, lambda hooks: hooks.create(url=url, name=name, events=events, key_id=""))
    _tell(made, as_json=as_json)


@app.command("list")
def list_webhooks(
    tenant: Tenant = None, data_dir: options.DataDir = None, as_json: options.AsJson = False
) -> None:
    """Every webhook, and how it does."""
    rows = _with(data_dir, tenant, lambda hooks: hooks.all())
    show(rows, _line, as_json=as_json, none="no webhook yet; `agent webhooks create` makes one")


@app.command()
def rotate(
    webhook_id: WebhookId,
    grace_s: Annotated[
        float, typer.Option(min=0, help="How long messages are signed with the one before too.")
    ] = 86_400.0,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Make another secret, and show it this once."""
    _tell(_with(data_dir, tenant, lambda hooks: hooks.rotate(webhook_id, grace_s=grace_s)), as_json=as_json)


def _enabled(data_dir: str | None, tenant: str | None, webhook_id: str, *, to: bool) -> "WebhookView":
    async def change(hooks: "Webhooks") -> "WebhookView":
        return await hooks.change(webhook_id, url=None, name=None, events=None, is_enabled=to, key_id="")

    return _with(data_dir, tenant, change)


@app.command()
def enable(
    webhook_id: WebhookId,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Send it again what it is told, and what it is owed."""
    show([_enabled(data_dir, tenant, webhook_id, to=True)], _line, as_json=as_json, none="")


@app.command()
def disable(
    webhook_id: WebhookId,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Send it nothing until it is enabled."""
    show([_enabled(data_dir, tenant, webhook_id, to=False)], _line, as_json=as_json, none="")


@app.command()
def remove(
    webhook_id: WebhookId,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove a webhook, what it is owed, and its log."""
    _with(data_dir, tenant, lambda hooks: hooks.remove(webhook_id))
    tell_done({"webhook_id": webhook_id, "removed": True}, as_json=as_json)


@app.command()
def deliveries(
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """What was sent to a webhook, or is owed to it."""

    async def listed(hooks: "Webhooks") -> "list[DeliveryView]":
        return list((await hooks.deliveries(webhook_id, status=None, cursor=0, limit=limit)).items)

    show(
        _with(data_dir, tenant, listed),
        lambda one: (
            f"{shown_time(one.created_at)}  {one.message_id}  {one.type:<14} {one.status:<9} "
            f"{one.attempts} tried  {one.last_error}"
        ).rstrip(),
        as_json=as_json,
        none="nothing was sent to it yet",
    )


@app.command()
def redeliver(
    webhook_id: WebhookId,
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE", help="Its id.")],
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Have the daemon send a message once more."""
    _with(data_dir, tenant, lambda hooks: hooks.redeliver(webhook_id, message_id))
    tell_done({"webhook_id": webhook_id, "message_id": message_id, "redelivered": True}, as_json=as_json)
