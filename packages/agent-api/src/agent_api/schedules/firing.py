"""Fires the schedules of one tenant: claims what is due, and begins its runs as the key that the schedule is of."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from agent_api.access.keys import ApiKey, KeyStore
from agent_api.access.scopes import Scope
from agent_api.access.spending import SpendingBook
from agent_api.access.standing import Standing, standing
from agent_api.errors import RateLimitedError, TooManyRunsError
from agent_api.schedules import timetable
from agent_api.schedules.cron import next_at
from agent_api.schedules.timetable import Firing, ScheduleView
from agent_api.supervisor import Supervisor
from agent_core import events as ev
from agent_core.errors import AgentError, JournalConflictError
from agent_core.limits import Limits
from agent_core.messages import user
from agent_memory.sqlite_store import SqliteStore

logger = logging.getLogger("agentd")

POLL_S = 5.0
"""How often the records are looked at for what another process changed."""
LATE_S = 60.0
"""What is later than this was missed."""
WAIT_S = 1.0
"""How long a firing waits for a place that is not free."""
GIVE_UP_S = 3_600.0

OnStopped: TypeAlias = Callable[[ScheduleView, str], Awaitable[None]]
"""Told which schedule was stopped, and why."""


class Clockwork:
    """The task that fires."""

    def __init__(
        self,
        records: SqliteStore,
        supervisor: Supervisor,
        *,
        tenant: str,
        keys: KeyStore,
        book: SpendingBook,
        on_stopped: OnStopped,
        now: Callable[[], float],
    ) -> None:
        self._records = records
        self._supervisor = supervisor
        self._tenant = tenant
        self._keys = keys
        self._book = book
        self._on_stopped = on_stopped
        self._now = now
        self._wake = anyio.Event()

    def wake(self) -> None:
        """Something has changed."""
        self._wake.set()

    async def keep(self) -> None:
        """Fire what is due, until cancelled."""
        while True:
            try:
                wait_s = await self.tick()
            except AgentError as error:
                logger.warning("schedules wait: %s", error)
                wait_s = POLL_S
            with anyio.move_on_after(wait_s):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def tick(self) -> float:
        """Fire what is due now; returns how long there is nothing to do.

        Raises:
            MemoryUnavailableError, JournalUnavailableError: the storage failed; nothing is lost.
        """
        for view in await self._records.read(timetable.due, self._now()):
            await self._claim(view)
        waiting = 0
        for firing in await self._records.read(timetable.claimed):
            waiting += not await self._begin(firing)
        due_at = await self._records.read(timetable.next_due)
        if waiting:
            return WAIT_S
        return POLL_S if due_at is None else min(POLL_S, max(0.0, due_at - self._now()))

    async def _claim(self, view: ScheduleView) -> None:
        found = self._standing(view.key_id)
        if found.key is None:
            if await self._records.change(timetable.stop, view, found.trouble):
                logger.warning("schedule %s is stopped: %s", view.schedule_id, found.trouble)
                await self._on_stopped(view, found.trouble)
            return
        now = self._now()
        is_missed = view.missed == "skip" and now - (view.next_at or now) > LATE_S
        run_id = self._supervisor.agent.runner.adapters.ids.new("run")
        await self._records.change(
            timetable.claim,
            view,
            key_id=found.key.key_id,
            next_at=next_at(view.cron, view.time_zone, now),
            status="missed" if is_missed else "claimed",
            run_id=run_id,
            now=now,
        )

    def _standing(self, key_id: str) -> Standing:
        return standing(self._keys, key_id, tenant=self._tenant, now=self._now(), scope=Scope.RUNS_WRITE)

    async def _begin(self, firing: Firing) -> bool:
        """Begin the run of a firing, which may have begun before a crash; False: it waits for a place."""
        found = self._standing(firing.key_id)
        trouble = found.trouble
        try:
            if found.key is not None:
                self._book.check(found.key, self._now())
                await self._start(firing, found.key)
        except TooManyRunsError as error:
            if self._now() - firing.at < GIVE_UP_S:
                return False
            trouble = str(error)
        except RateLimitedError as error:
            trouble = str(error)
        status: timetable.FiringStatus = "refused" if trouble else "started"
        if trouble:
            logger.warning("schedule %s begins no run: %s", firing.schedule_id, trouble)
        await self._records.change(timetable.settle, firing.run_id, status, trouble)
        return True

    async def _start(self, firing: Firing, key: ApiKey) -> None:
        agent, run = self._supervisor.agent, firing.run
        if self._supervisor.capacity.is_used_up:
            raise TooManyRunsError(self._supervisor.capacity.limit)
        session_id = run.session_id or firing.schedule_id.replace("schedule_", "session_")
        started = ev.RunStarted(
            at=self._now(),
            run_id=firing.run_id,
            session_id=session_id if run.session == "same" else agent.runner.adapters.ids.new("session"),
            input=user(run.prompt),
            model=agent.model.profile.name,
            instructions=run.instructions or agent.settings.instructions,
            limits=run.limits or Limits(),
        )
        self._book.own(firing.run_id, tenant=self._tenant, key_id=key.key_id)
        try:
            await agent.journal.append(firing.run_id, 0, (started,), writer="schedule")
        except JournalConflictError:  # it began before a crash, or another daemon was quicker
            logger.info("run %s of schedule %s has begun already", firing.run_id, firing.schedule_id)
        await self._supervisor.resume(firing.run_id)
