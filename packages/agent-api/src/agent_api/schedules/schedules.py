"""The schedules of one tenant: made, looked at, changed, paused and resumed, fired by hand."""

import secrets
from collections.abc import Callable

import msgspec

from agent_api.access.attempt import ONLY, Attempt
from agent_api.errors import NotFoundError, TooManyKeptError
from agent_api.schedules import timetable
from agent_api.schedules.cron import next_at
from agent_api.schedules.timetable import (
    MAX_SCHEDULES,
    FiringPage,
    FiringView,
    Missed,
    RunTemplate,
    ScheduleView,
)
from agent_memory.sqlite_store import SqliteStore


class Schedules:
    """What a tenant's keys ask of its schedules."""

    def __init__(
        self,
        records: SqliteStore,
        *,
        now: Callable[[], float],
        new_run_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """`wake` tells who fires them that something has changed."""
        self._records = records
        self._now = now
        self._new_run_id = new_run_id
        self._wake = wake

    async def create(
        self,
        *,
        name: str,
        cron: str,
        time_zone: str,
        run: RunTemplate,
        missed: Missed,
        key_id: str,
        attempt: Attempt = ONLY,
    ) -> ScheduleView:
        """A new schedule, active at once; or the one that an attempt before this one made.

        Raises:
            InvalidRequestError: the expression or the time zone is none.
            TooManyKeptError: there are as many as may be.
        """
        if attempt.is_again and (known := await self._known(attempt.stem_id("schedule"))) is not None:
            return known
        now = self._now()
        view = ScheduleView(
            schedule_id=attempt.fixed_id("schedule") or f"schedule_{secrets.token_hex(8)}",
            name=name,
            cron=cron,
            time_zone=time_zone,
            run=run,
            missed=missed,
            key_id=key_id,
            created_at=now,
            status="active",
            reason="",
            next_at=next_at(cron, time_zone, now),
        )
        if not await self._records.change(timetable.insert, view):
            raise TooManyKeptError("schedules", MAX_SCHEDULES)
        self._wake()
        return view

    async def all(self) -> list[ScheduleView]:
        """Every schedule, the newest last."""
        return await self._records.read(timetable.every)

    async def view(self, schedule_id: str) -> ScheduleView:
        """One schedule.

        Raises:
            NotFoundError: there is none of that id.
        """
        known = await self._known(schedule_id)
        if known is None:
            raise NotFoundError(f"there is no schedule {schedule_id!r}")
        return known

    async def _known(self, schedule_id: str) -> ScheduleView | None:
        return next(iter(await self._records.read(timetable.every, schedule_id)), None)

    async def change(
        self,
        schedule_id: str,
        *,
        name: str | None,
        cron: str | None,
        time_zone: str | None,
        run: RunTemplate | None,
        missed: Missed | None,
        key_id: str,
    ) -> ScheduleView:
        """Change what is given; runs are from now on started as the key that changes it.

        Raises:
            NotFoundError: there is none of that id.
            InvalidRequestError: the expression or the time zone is none.
        """
        given = {"name": name, "cron": cron, "time_zone": time_zone, "run": run, "missed": missed}
        given = {field: value for field, value in given.items() if value is not None}

        def changed(view: ScheduleView) -> ScheduleView:
            after = msgspec.structs.replace(view, key_id=key_id, **given)
            at = next_at(after.cron, after.time_zone, self._now())
            return msgspec.structs.replace(after, next_at=at if after.status == "active" else None)

        return await self._replaced(schedule_id, changed)

    async def pause(self, schedule_id: str) -> ScheduleView:
        """Have it fire no more until it is resumed.

        Raises:
            NotFoundError: there is none of that id.
        """

        def paused(view: ScheduleView) -> ScheduleView:
            return msgspec.structs.replace(
                view, status="paused" if view.status == "active" else view.status, next_at=None
            )

        return await self._replaced(schedule_id, paused)

    async def resume(self, schedule_id: str, *, key_id: str) -> ScheduleView:
        """Have it fire again from now on; one that was stopped is from now on of the key that resumes it.

        Raises:
            NotFoundError: there is none of that id.
        """

        def resumed(view: ScheduleView) -> ScheduleView:
            if view.status == "active":
                return view
            return msgspec.structs.replace(
                view,
                key_id=key_id if view.status == "stopped" else view.key_id,
                status="active",
                reason="",
                next_at=next_at(view.cron, view.time_zone, self._now()),
            )

        return await self._replaced(schedule_id, resumed)

    async def remove(self, schedule_id: str) -> None:
        """Remove a schedule; the runs that it began stay.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(schedule_id)
        await self._records.change(timetable.remove, schedule_id)

    async def fire(self, schedule_id: str, *, attempt: Attempt = ONLY) -> FiringView:
        """Begin a run now, whatever its clock says; it is started as the schedule's key. One firing has one run, so an attempt
        that is not the first begins no other.

        Raises:
            NotFoundError: there is none of that id.
        """
        view, now = await self.view(schedule_id), self._now()
        run_id = attempt.fixed_id("run") or self._new_run_id()
        await self._records.change(
            timetable.add_firing, view, due_at=now, status="claimed", run_id=run_id, now=now
        )
        self._wake()
        return FiringView(due_at=now, at=now, status="claimed", run_id=run_id, key_id=view.key_id, detail="")

    async def firings(self, schedule_id: str, *, cursor: int, limit: int) -> FiringPage:
        """What a schedule began, and what came to nothing: the newest first.

        Raises:
            NotFoundError: there is none of that id.
        """
        await self.view(schedule_id)
        rows = await self._records.read(timetable.firings, schedule_id, cursor or None, limit + 1)
        more = len(rows) > limit
        return FiringPage(
            items=tuple(view for _, view in rows[:limit]), next_cursor=rows[limit - 1][0] if more else None
        )

    async def _replaced(
        self, schedule_id: str, changed: Callable[[ScheduleView], ScheduleView]
    ) -> ScheduleView:
        while True:
            view = await self.view(schedule_id)
            after = changed(view)
            if await self._records.change(timetable.replace, after, was_next_at=view.next_at):
                self._wake()
                return after
