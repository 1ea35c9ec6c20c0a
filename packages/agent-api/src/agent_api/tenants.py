"""The tenants of one daemon. A tenant is a folder with its own journal, workspace and skills; what is not there is not seen.

The tenant `default` is that of the command line: its files lie in the data folder itself. The others are below `tenants/`.
"""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agent_api.access.keys import DEFAULT_TENANT, checked_tenant
from agent_api.access.metering import catch_up
from agent_api.composition import Machine, open_tenant
from agent_api.errors import SettingsError
from agent_api.openai.tellings import Tellings
from agent_api.operations import Access, Desk, Operations, targets_of
from agent_api.settings import Settings
from agent_api.supervisor import Capacity, Supervisor
from agent_core.errors import AgentError
from agent_core.ports import Observer

logger = logging.getLogger("agentd")


def data_path_of(settings: Settings, tenant: str) -> Path:
    """Where a tenant's files lie; they may not be there yet.

    Raises:
        SettingsError: it is no name for a tenant.
    """
    folder = settings.data_path()
    return folder if tenant == DEFAULT_TENANT else folder / "tenants" / checked_tenant(tenant)


class _Opening:
    """A tenant that somebody waits for."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.done = anyio.Event()
        self.failure: Exception | None = None


class Tenants:
    """Opens tenants when they are first asked for, in a task of its own, which also closes them."""

    def __init__(self, machine: Machine, access: Access, observers: Sequence[Observer] = ()) -> None:
        """Raises:
        SettingsError: a setting of webhooks is wrong.
        """
        self.machine = machine
        self._access = access
        self._targets = targets_of(machine.settings)
        self._observers = observers
        self._open: dict[str, Supervisor] = {}
        self._operations: dict[str, Operations] = {}
        self._tellings: dict[str, Tellings] = {}
        self._opening: dict[str, _Opening] = {}
        self.capacity = Capacity(machine.settings.max_runs)
        self.model_trouble = ""
        """Why the model is not ready; empty: it is, or is loaded when it is first asked."""
        self._send: MemoryObjectSendStream[_Opening]
        self._receive: MemoryObjectReceiveStream[_Opening]
        self._send, self._receive = anyio.create_memory_object_stream[_Opening](100)

    async def run(self, task_status: TaskStatus[None]) -> None:
        """Open every tenant that has files, resume what was left in the middle, and open others until cancelled."""
        async with self._send, self._receive, AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            for tenant in self._known():
                try:
                    await self._enter(stack, tasks, tenant)
                except AgentError as error:  # one that is broken must not keep the others away
                    logger.error("tenant %s cannot be opened: %s", tenant, error)  # noqa: TRY400  # it says enough
            task_status.started()
            async for opening in self._receive:
                try:
                    await self._enter(stack, tasks, opening.tenant)
                except Exception as error:  # noqa: BLE001  # raised where it is waited for
                    opening.failure = error
                opening.done.set()

    async def supervisor(self, tenant: str) -> Supervisor:
        """Who drives the runs of a tenant.

        Raises:
            AgentError: the tenant's files cannot be opened.
        """
        found = self._open.get(tenant)
        if found is not None:
            return found
        opening = self._opening.get(tenant)
        if opening is None:
            opening = self._opening[tenant] = _Opening(tenant)
            await self._send.send(opening)
        await opening.done.wait()
        self._opening.pop(tenant, None)
        if opening.failure is not None:
            raise opening.failure
        return self._open[tenant]

    async def operations(self, tenant: str) -> Operations:
        """The sessions, webhooks and schedules of a tenant.

        Raises:
            AgentError: the tenant's files cannot be opened.
        """
        await self.supervisor(tenant)
        return self._operations[tenant]

    def tellings(self, tenant: str) -> Tellings:
        """The responses of a tenant, which is open, that are being told."""
        return self._tellings[tenant]

    def shut_down(self) -> None:
        """The daemon is going: every stream ends, and its client comes back with the number it has."""
        for supervisor in self._open.values():
            supervisor.broadcast.shut_down()

    @property
    def supervisors(self) -> Sequence[Supervisor]:
        """Those of the tenants that are open."""
        return tuple(self._open.values())

    async def _enter(self, stack: AsyncExitStack, tasks: TaskGroup, tenant: str) -> None:
        data_path, workspace = self._places(tenant)
        desk = await Desk.open(stack, tenant, data_path, self._access, self._targets)
        agent = await stack.enter_async_context(
            open_tenant(self.machine, data_path, str(workspace), tenant=tenant, observers=(desk.watch,))
        )
        supervisor = Supervisor(agent, tasks, capacity=self.capacity, observers=self._observers)
        self._operations[tenant] = desk.begin(tasks, supervisor)
        self._tellings[tenant] = tellings = Tellings(supervisor)
        await tellings.open()
        self._open[tenant] = supervisor
        await catch_up(self._access.book, agent.journal)
        await supervisor.imports.resume()
        await supervisor.resume_unfinished()

    def _known(self) -> list[str]:
        folder = self.machine.settings.data_path() / "tenants"
        others = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        return [DEFAULT_TENANT, *others]

    def _places(self, tenant: str) -> tuple[Path, Path]:
        """Where a tenant's files lie, and where its tools may look; both are there afterwards."""
        settings = self.machine.settings
        own = tenant == DEFAULT_TENANT
        data_path = data_path_of(settings, tenant)
        if own and settings.workspace:
            return data_path, Path(settings.workspace)
        workspace = data_path / "workspace"
        try:
            workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SettingsError(f"the folder {workspace} cannot be made: {error.strerror}") from error
        return data_path, workspace
