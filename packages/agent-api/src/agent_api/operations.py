"""What goes on for a tenant beside its runs: sessions are kept in order of use, webhooks are told, schedules fire. Built once a
tenant, over its records; its tasks end with the daemon.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from anyio.abc import TaskGroup

from agent_api.a2a.pushes import Pushes
from agent_api.access.audit import AuditLog, Entry
from agent_api.access.keys import KeyStore
from agent_api.access.spending import SpendingBook
from agent_api.access.standing import standing
from agent_api.background import kept_going
from agent_api.errors import WrongSettingError
from agent_api.records import open_records
from agent_api.schedules.firing import Clockwork
from agent_api.schedules.schedules import Schedules
from agent_api.schedules.timetable import ScheduleView
from agent_api.sessions import Sessions
from agent_api.settings import Settings
from agent_api.supervisor import Supervisor
from agent_api.watch import RunWatch
from agent_api.webhooks.delivery import Deliverer, SecretOf, Targets
from agent_api.webhooks.hooks import Webhooks
from agent_api.webhooks.outbox import News
from agent_memory.sqlite_store import SqliteStore


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon knows of keys, and where it notes what was done."""

    keys: KeyStore
    book: SpendingBook
    audit: AuditLog


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """What routes ask for of a tenant, beside its supervisor."""

    sessions: Sessions
    webhooks: Webhooks
    pushes: Pushes
    schedules: Schedules


class Desk:
    """The records of a tenant, open, and the watch over its runs; `begin` starts the rest once there is a supervisor."""

    def __init__(self, tenant: str, records: SqliteStore, access: Access, targets: Targets) -> None:
        self._tenant = tenant
        self._records = records
        self._access = access
        self._web = targets.web()
        secret_of = secrets_of(access.keys, tenant)
        self._deliverer = Deliverer(
            records,
            self._web,
            secret_of=secret_of,
            trouble_of=self._webhook_trouble,
            on_disabled=self._webhook_disabled,
            now=time.time,
        )
        self.watch = RunWatch(records, now=time.time, on_owed=self._deliverer.wake)
        self._webhooks = Webhooks(
            records, web=self._web, wake=self._deliverer.wake, secret_of=secret_of, now=time.time
        )

    @classmethod
    async def open(
        cls, stack: AsyncExitStack, tenant: str, data_path: Path, access: Access, targets: Targets
    ) -> "Desk":
        """Over the file in `data_path`, which `stack` closes.

        Raises:
            MemoryUnavailableError: the file cannot be opened.
        """
        records = await open_records(data_path)
        stack.push_async_callback(records.close)
        desk = cls(tenant, records, access, targets)
        stack.push_async_callback(desk._web.aclose)
        return desk

    def begin(self, tasks: TaskGroup, supervisor: Supervisor) -> Operations:
        """Start what goes on by itself."""
        clockwork = Clockwork(
            self._records,
            supervisor,
            tenant=self._tenant,
            keys=self._access.keys,
            book=self._access.book,
            on_stopped=self._schedule_stopped,
            now=time.time,
        )
        agent = supervisor.agent

        async def watch() -> None:
            await self.watch.keep(agent.runner, agent.journal)

        for name, work in (
            ("the watch over runs", watch),
            ("the delivery of webhooks", self._deliverer.keep),
            ("the firing of schedules", clockwork.keep),
        ):
            tasks.start_soon(kept_going, f"{name} of tenant {self._tenant}", work)
        return Operations(
            sessions=Sessions(self._records, supervisor, settle=self.watch.flush),
            webhooks=self._webhooks,
            pushes=Pushes(self._records, self._webhooks, wake=self._deliverer.wake, now=time.time),
            schedules=Schedules(
                self._records,
                now=time.time,
                new_run_id=lambda: agent.runner.adapters.ids.new("run"),
                wake=clockwork.wake,
            ),
        )

    def _webhook_trouble(self, key_id: str) -> str:
        if not key_id:  # made on the command line: it is of whoever owns the machine
            return ""
        return standing(self._access.keys, key_id, tenant=self._tenant, now=time.time()).trouble

    def _webhook_disabled(self, webhook_id: str, reason: str) -> None:
        self._note("DISABLE webhook", f"{webhook_id}: {reason}")

    async def _schedule_stopped(self, view: ScheduleView, reason: str) -> None:
        self._note("STOP schedule", f"{view.schedule_id}: {reason}", key_id=view.key_id)
        now = time.time()
        data: dict[str, object] = {"schedule_id": view.schedule_id, "name": view.name, "reason": reason}
        message_id = f"msg_{view.schedule_id.removeprefix('schedule_')}{int(now * 1000):x}"
        await self._webhooks.tell(News(message_id=message_id, type="schedule.stopped", at=now, data=data))

    def _note(self, action: str, target: str, *, key_id: str = "") -> None:
        entry = Entry(
            at=round(time.time(), 3), tenant=self._tenant, key_id=key_id, action=action, target=target[:300]
        )
        self._access.audit.note(entry)


def secrets_of(keys: KeyStore, tenant: str) -> SecretOf:
    """The secrets of a tenant's webhooks: made of the machine's own, and kept nowhere."""

    def secret_of(webhook_id: str, generation: int) -> bytes:
        return keys.secret_for(f"webhook {tenant} {webhook_id} {generation}")

    return secret_of


def targets_of(settings: Settings) -> Targets:
    """Where webhooks may lead, by the settings.

    Raises:
        SettingsError: a network or a port is none.
    """
    try:
        ports = tuple(_port(one) for one in _listed(settings.webhook_ports))
    except ValueError as error:
        reason = f"{settings.webhook_ports!r} are no ports: numbers from 1 to 65535, with commas between"
        raise WrongSettingError("webhook_ports", reason) from error
    targets = Targets(networks=tuple(_listed(settings.webhook_networks)), ports=ports)
    try:
        targets.web()
    except ValueError as error:
        raise WrongSettingError("webhook_networks", str(error)) from error
    return targets


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_536:
        raise ValueError(text)
    return port


def _listed(text: str) -> Sequence[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
