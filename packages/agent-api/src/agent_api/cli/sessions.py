"""`agent sessions`: the conversations of runs, by name."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent_api.cli import options
from agent_api.cli.records import Tenant, show, shown_time, with_records

if TYPE_CHECKING:
    from agent_api.access.keys import KeyStore
    from agent_api.sessions import SessionView
    from agent_api.settings import Settings
    from agent_memory.sqlite_store import SqliteStore

app = typer.Typer(help="Sessions: conversations of runs, as the daemon knows them.", no_args_is_help=True)

SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session.")]


@app.command("list")
def list_sessions(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the one used last first.")] = 20,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """The sessions used last."""
    from agent_api.sessions import used_before

    async def listed(records: "SqliteStore", _: "KeyStore", __: "Settings", ___: str) -> "list[SessionView]":
        return await records.read(used_before, (float("inf"), ""), limit)

    show(
        with_records(data_dir, tenant, listed),
        lambda one: f"{one.session_id:<34} {shown_time(one.updated_at):<17} {one.name}",
        as_json=as_json,
        none="no session yet; a run makes one",
    )


@app.command()
def rename(
    session_id: SessionId,
    name: Annotated[str, typer.Argument(help="Its name from now on.")],
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Give a session another name. `DELETE /api/v1/sessions/ID` of the daemon erases one."""
    import msgspec

    from agent_api.errors import NotFoundError
    from agent_api.sessions import kept, put

    async def renamed(records: "SqliteStore", _: "KeyStore", __: "Settings", ___: str) -> "SessionView":
        found = await records.read(kept, session_id)
        if found is None:
            raise NotFoundError(
                f"there is no session {session_id!r}; `agent sessions list` shows those there are"
            )
        changed = msgspec.structs.replace(found, name=name)
        await records.change(put, changed)
        return changed

    view = with_records(data_dir, tenant, renamed)
    sys.stdout.write(
        msgspec.json.encode(view).decode() + "\n" if as_json else f"{view.session_id} is called {view.name}\n"
    )
