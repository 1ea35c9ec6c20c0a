"""`agent keys`: who may ask the daemon for what."""

import json
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from agent_api.cli import options

if TYPE_CHECKING:
    from agent_api.access.keys import ApiKey, KeyStore

app = typer.Typer(name="keys", help="The daemon's API keys.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: the middle of `ag_ID_...`.")]
Tenant = Annotated[
    str | None, typer.Option(help="Whose data the key opens; in lists: only this one's.", show_default=False)
]


def _store(data_dir: str | None) -> "KeyStore":
    from agent_api.access.keys import KeyStore
    from agent_api.daemon import access_folder
    from agent_api.settings import load

    return KeyStore(access_folder(load({"data_dir": data_dir}).data_path()))


def _shown(key: "ApiKey") -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(key)
    return {**fields, "valid": key.is_valid(time.time())}


def _tell(key: "ApiKey", text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_shown(key), "key": text}))
        return
    sys.stderr.write(f"key {key.key_id} of tenant {key.tenant}; it is shown this once:\n")
    print(text)


@app.command()
def create(
    tenant: Tenant = None,
    name: Annotated[str, typer.Option(help="What it is for, to know it again.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do; may be given several times.", show_default="all but administration"
        ),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything.")] = False,
    days: Annotated[
        float | None, typer.Option(min=0, help="How long it is valid.", show_default="for ever")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, show_default="unlimited")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1, show_default="unlimited")] = None,
    cost_usd_per_month: Annotated[float | None, typer.Option(min=0, show_default="unlimited")] = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a key, and show it this once."""
    from agent_api.access.keys import DEFAULT_TENANT, KeyLimits
    from agent_api.access.scopes import ALL, USER

    now = time.time()
    with closing(_store(data_dir)) as keys:
        key, text = keys.create(
            now=now,
            tenant=tenant or DEFAULT_TENANT,
            name=name,
            scopes=ALL if admin else scope or USER,
            limits=KeyLimits(
                requests_per_minute=requests_per_minute,
                tokens_per_day=tokens_per_day,
                cost_usd_per_month=cost_usd_per_month,
            ),
            expires_at=None if days is None else now + days * 86_400,
        )
    _tell(key, text, as_json=as_json)


@app.command("list")
def list_keys(
    tenant: Tenant = None, data_dir: options.DataDir = None, as_json: options.AsJson = False
) -> None:
    """Every key, revoked ones too; never the keys themselves."""
    from rich.table import Table

    from agent_api.cli.terminal import table_console

    with closing(_store(data_dir)) as keys:
        rows = list(keys.all(tenant=tenant))
    if as_json:
        for key in rows:
            print(json.dumps(_shown(key)))
        return
    if not rows:
        sys.stderr.write("no key yet; the first start of agentd makes one, and so does `agent keys create`\n")
        return
    table = Table("id", "tenant", "name", "valid", "scopes")
    for key in rows:
        valid = "yes" if key.is_valid(time.time()) else "no"
        if key.rotated_to:
            valid += f", rotated to {key.rotated_to}"
        table.add_row(key.key_id, key.tenant, key.name, valid, ", ".join(key.scopes))
    table_console().print(table)


@app.command()
def revoke(key_id: KeyId, data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """End a key: a running daemon refuses it within a second."""
    with closing(_store(data_dir)) as keys:
        key = keys.revoke(key_id, now=time.time(), tenant=None)
    print(json.dumps(_shown(key)) if as_json else f"key {key.key_id} opens nothing any more")


@app.command()
def rotate(
    key_id: KeyId,
    grace_s: Annotated[float, typer.Option(min=0, help="How long the old one is still valid.")] = 0.0,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Make another key in the place of one, and show it this once."""
    with closing(_store(data_dir)) as keys:
        key, text = keys.rotate(key_id, now=time.time(), tenant=None, grace_s=grace_s)
    _tell(key, text, as_json=as_json)
