"""`/api/v1/schedules`: runs that begin by the clock."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.errors import ScopeMissingError
from agent_api.operations import Operations
from agent_api.schedules.timetable import FiringPage, FiringView, Missed, RunTemplate, ScheduleView

Cron = Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=["30 7 * * MON-FRI"])]
Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=100, examples=["Europe/Berlin"])]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/schedules`."""

    cron: Cron
    """Minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."""
    run: RunTemplate
    time_zone: Zone = "UTC"
    name: Name = ""
    missed: Missed = "skip"
    """What becomes of firings while no daemon ran: nothing, or `once` one run for all of them."""


class ChangeSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/v1/schedules/{id}`; what is left out stays."""

    cron: Cron | None = None
    run: RunTemplate | None = None
    time_zone: Zone | None = None
    name: Name | None = None
    missed: Missed | None = None


class ScheduleList(msgspec.Struct, frozen=True, kw_only=True):
    """The schedules of a tenant."""

    items: tuple[ScheduleView, ...]


class SchedulesController(Controller):
    """Schedules of one tenant."""

    path = "/api/v1/schedules"
    tags = ("schedules",)

    @post(opt={"scope": Scope.SCHEDULES_WRITE}, status_code=HTTP_201_CREATED, summary="Make a schedule")
    async def create(
        self,
        data: JSONBody[NewSchedule],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> ScheduleView:
        """Its runs are started as the key that makes it, within that key's limits, and end with it."""
        _may_start_runs(principal)
        return await operations.schedules.create(
            name=data.name,
            cron=data.cron,
            time_zone=data.time_zone,
            run=data.run,
            missed=data.missed,
            key_id=principal.key.key_id,
            attempt=principal.attempt,
        )

    @get(opt={"scope": Scope.SCHEDULES_READ}, summary="List schedules")
    async def all(self, operations: NamedDependency[Operations]) -> ScheduleList:
        """The newest last, each with the time at which it fires next."""
        return ScheduleList(items=tuple(await operations.schedules.all()))

    @get("/{schedule_id:str}", opt={"scope": Scope.SCHEDULES_READ}, summary="Look at a schedule")
    async def show(self, schedule_id: FromPath[str], operations: NamedDependency[Operations]) -> ScheduleView:
        """With the time at which it fires next."""
        return await operations.schedules.view(schedule_id)

    @patch("/{schedule_id:str}", opt={"scope": Scope.SCHEDULES_WRITE}, summary="Change a schedule")
    async def change(
        self,
        schedule_id: FromPath[str],
        data: JSONBody[ChangeSchedule],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> ScheduleView:
        """Its runs are from now on started as the key that changes it: nobody spends what another key may."""
        _may_start_runs(principal)
        return await operations.schedules.change(
            schedule_id,
            name=data.name,
            cron=data.cron,
            time_zone=data.time_zone,
            run=data.run,
            missed=data.missed,
            key_id=principal.key.key_id,
        )

    @delete(
        "/{schedule_id:str}",
        opt={"scope": Scope.SCHEDULES_WRITE},
        status_code=HTTP_204_NO_CONTENT,
        summary="Remove a schedule",
    )
    async def remove(self, schedule_id: FromPath[str], operations: NamedDependency[Operations]) -> None:
        """The runs that it began stay."""
        await operations.schedules.remove(schedule_id)

    @post(
        "/{schedule_id:str}/pause",
        opt={"scope": Scope.SCHEDULES_WRITE},
        status_code=HTTP_200_OK,
        summary="Pause a schedule",
    )
    async def pause(
        self, schedule_id: FromPath[str], operations: NamedDependency[Operations]
    ) -> ScheduleView:
        """It fires no more until it is resumed; what would have come meanwhile never comes."""
        return await operations.schedules.pause(schedule_id)

    @post(
        "/{schedule_id:str}/resume",
        opt={"scope": Scope.SCHEDULES_WRITE},
        status_code=HTTP_200_OK,
        summary="Resume a schedule",
    )
    async def resume(
        self,
        schedule_id: FromPath[str],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> ScheduleView:
        """It fires from now on. One that was stopped is from now on of the key that resumes it."""
        _may_start_runs(principal)
        return await operations.schedules.resume(schedule_id, key_id=principal.key.key_id)

    @post(
        "/{schedule_id:str}/run",
        opt={"scope": Scope.SCHEDULES_WRITE},
        status_code=HTTP_202_ACCEPTED,
        summary="Begin a schedule's run now",
    )
    async def run(
        self,
        schedule_id: FromPath[str],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> FiringView:
        """Whatever its clock says, and even while it is paused; as the schedule's key."""
        return await operations.schedules.fire(schedule_id, attempt=principal.attempt)

    @get("/{schedule_id:str}/runs", opt={"scope": Scope.SCHEDULES_READ}, summary="What a schedule began")
    async def runs(
        self,
        schedule_id: FromPath[str],
        operations: NamedDependency[Operations],
        cursor: Annotated[
            int, QueryParameter(ge=0, le=2**62, description="`next_cursor` of the page before.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    ) -> FiringPage:
        """Its firings, the newest first: those that began a run, and those that came to nothing, with the reason."""
        return await operations.schedules.firings(schedule_id, cursor=cursor, limit=limit)


def _may_start_runs(principal: Principal) -> None:
    if Scope.RUNS_WRITE not in principal.key.scopes:
        raise ScopeMissingError(Scope.RUNS_WRITE)
