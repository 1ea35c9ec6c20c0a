"""`agent schedules`: runs that the daemon begins by the clock."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent_api.cli import options
from agent_api.cli.records import Tenant, show, shown_time, tell_done, with_records

if TYPE_CHECKING:
    from agent_api.access.keys import KeyStore
    from agent_api.schedules.schedules import Schedules
    from agent_api.schedules.timetable import FiringView, ScheduleView
    from agent_api.settings import Settings
    from agent_memory.sqlite_store import SqliteStore

T = TypeVar("T")

app = typer.Typer(help="Schedules: runs that the daemon begins by the clock.", no_args_is_help=True)

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="The schedule.")]


def _with(
    data_dir: str | None, tenant: str | None, work: "Callable[[Schedules, KeyStore, str], Awaitable[T]]"
) -> T:
    async def opened(records: "SqliteStore", keys: "KeyStore", _: "Settings", name: str) -> T:
        import time

        from agent_api.schedules.schedules import Schedules
        from agent_core.system import SystemIds

        ids = SystemIds()
        schedules = Schedules(records, now=time.time, new_run_id=lambda: ids.new("run"), wake=lambda: None)
        return await work(schedules, keys, name)

    return with_records(data_dir, tenant, opened)


def _line(view: "ScheduleView") -> str:
    when = shown_time(view.next_at) if view.status == "active" else f"{view.status} {view.reason}".strip()
    return (
        f"{view.schedule_id}  {view.cron:<16} {view.time_zone:<16} {when:<17} {view.name or view.run.prompt}"
    )


def _show(*views: "ScheduleView", as_json: bool) -> None:
    show(list(views), _line, as_json=as_json, none="no schedule yet; `agent schedules create` makes one")


@app.command()
def create(
    cron: Annotated[str, typer.Argument(help="Such as '30 7 * * MON-FRI', or @daily.")],
    prompt: Annotated[str, typer.Argument(help="What its runs are to do.")],
    key: Annotated[str, typer.Option(help="The id of the key that its runs are started as.")],
    time_zone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    name: Annotated[str, typer.Option(help="To know it again.")] = "",
    same_session: Annotated[
        bool, typer.Option("--same-session", help="Its runs know what was said before.")
    ] = False,
    once_if_missed: Annotated[
        bool, typer.Option("--once-if-missed", help="One run for what came while no daemon ran.")
    ] = False,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Begin runs by the clock, as one of the keys and within its limits."""
    from agent_api.schedules.timetable import RunTemplate

    async def made(schedules: "Schedules", keys: "KeyStore", tenant_name: str) -> "ScheduleView":
        return await schedules.create(
            name=name,
            cron=cron,
            time_zone=time_zone,
            run=RunTemplate(prompt=prompt, session="same" if same_session else "new"),
            missed="once" if once_if_missed else "skip",
            key_id=keys.get(key, tenant=tenant_name).key_id,
        )

    _show(_with(data_dir, tenant, made), as_json=as_json)


@app.command("list")
def list_schedules(
    tenant: Tenant = None, data_dir: options.DataDir = None, as_json: options.AsJson = False
) -> None:
    """Every schedule, with the time at which it fires next."""
    _show(*_with(data_dir, tenant, lambda schedules, _, __: schedules.all()), as_json=as_json)


@app.command()
def pause(
    schedule_id: ScheduleId,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Have it fire no more until it is resumed."""
    _show(_with(data_dir, tenant, lambda schedules, _, __: schedules.pause(schedule_id)), as_json=as_json)


@app.command()
def resume(
    schedule_id: ScheduleId,
    key: Annotated[
        str, typer.Option(help="The id of the key that one which was stopped runs as from now on.")
    ] = "",
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Have it fire again from now on."""

    async def resumed(schedules: "Schedules", keys: "KeyStore", tenant_name: str) -> "ScheduleView":
        own = (await schedules.view(schedule_id)).key_id
        chosen = keys.get(key, tenant=tenant_name).key_id if key else own
        return await schedules.resume(schedule_id, key_id=chosen)

    _show(_with(data_dir, tenant, resumed), as_json=as_json)


@app.command()
def remove(
    schedule_id: ScheduleId,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove a schedule; the runs that it began stay."""
    _with(data_dir, tenant, lambda schedules, _, __: schedules.remove(schedule_id))
    tell_done({"schedule_id": schedule_id, "removed": True}, as_json=as_json)


@app.command("runs")
def list_runs(
    schedule_id: ScheduleId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """What a schedule began, and what came to nothing."""

    async def listed(schedules: "Schedules", _: "KeyStore", __: str) -> "list[FiringView]":
        return list((await schedules.firings(schedule_id, cursor=0, limit=limit)).items)

    show(
        _with(data_dir, tenant, listed),
        lambda one: f"{shown_time(one.due_at)}  {one.status:<8} {one.run_id or one.detail}",
        as_json=as_json,
        none="it has not fired yet",
    )
