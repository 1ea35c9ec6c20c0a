"""Opening what a daemon keeps of a tenant, for commands; a running daemon sees what they change within seconds."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from agent_api.access.keys import KeyStore
    from agent_api.settings import Settings
    from agent_memory.sqlite_store import SqliteStore

T = TypeVar("T")

Tenant = Annotated[str | None, typer.Option(help="Whose.", show_default="default")]


def with_records(
    data_dir: str | None,
    tenant: str | None,
    work: "Callable[[SqliteStore, KeyStore, Settings, str], Awaitable[T]]",
) -> T:
    """What `work` gives, over the records of a tenant and the keys of the machine."""
    import anyio

    from agent_api.access.keys import DEFAULT_TENANT, KeyStore, checked_tenant
    from agent_api.daemon import access_folder
    from agent_api.records import open_records
    from agent_api.settings import load

    settings = load({"data_dir": data_dir})
    name = checked_tenant(tenant or DEFAULT_TENANT)
    folder = settings.data_path()

    async def opened() -> T:
        with closing(KeyStore(access_folder(folder))) as keys:
            records = await open_records(folder if name == DEFAULT_TENANT else folder / "tenants" / name)
            try:
                return await work(records, keys, settings, name)
            finally:
                await records.close()

    return anyio.run(opened)


def show(rows: "Sequence[T]", line: "Callable[[T], str]", *, as_json: bool, none: str) -> None:
    """Print rows, one a line; where there are none, a person is told so."""
    import msgspec

    from agent_api.cli.visible import visible

    for row in rows:
        sys.stdout.write((msgspec.json.encode(row).decode() if as_json else visible(line(row))) + "\n")
    if not rows and not as_json:
        sys.stderr.write(none + "\n")


def tell_done(what: dict[str, object], *, as_json: bool) -> None:
    """Say as JSON that something was done; a person sees it by there being no error."""
    import json

    if as_json:
        sys.stdout.write(json.dumps(what) + "\n")


def shown_time(at: float | None) -> str:
    """A time as a person reads it."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
