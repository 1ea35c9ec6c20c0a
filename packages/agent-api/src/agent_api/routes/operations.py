"""For who operates the daemon: whether it is ready, and what it counts."""

import asyncio
import shutil
import threading
from typing import Literal

import anyio
import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from agent_api.access.scopes import ANY_KEY, Scope
from agent_api.daemon import Daemon
from agent_api.metrics import CONTENT_TYPE
from agent_api.supervisor import Supervisor
from agent_core.errors import AgentError

MIN_FREE_BYTES = 50_000_000
"""With less space on its disk a daemon is not ready: journals could not go on."""
CHECK_S = 5.0


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the daemon can do its work; an empty text says that all is well with that part."""

    status: Literal["ready", "not ready"]
    journal: str
    model: str
    disk: str


@get("/ready", opt={"scope": ANY_KEY}, summary="Can it do its work?", tags=("operations",))
async def ready(supervisor: NamedDependency[Supervisor], daemon: NamedDependency[Daemon]) -> Response[Ready]:
    """503 and the reason where the journal, the model or the disk stands in the way."""
    journal = await _journal(supervisor)
    free = shutil.disk_usage(supervisor.agent.data_path).free
    disk = (
        ""
        if free >= MIN_FREE_BYTES
        else f"{free // 1_000_000} MB are free, {MIN_FREE_BYTES // 1_000_000} are needed"
    )
    model = daemon.tenants.model_trouble
    well = not (journal or disk or model)
    return Response(
        Ready(status="ready" if well else "not ready", journal=journal, model=model, disk=disk),
        status_code=HTTP_200_OK if well else HTTP_503_SERVICE_UNAVAILABLE,
    )


async def _journal(supervisor: Supervisor) -> str:
    try:
        with anyio.fail_after(CHECK_S):
            async for _ in supervisor.agent.journal.heads(limit=1):
                pass
    except (AgentError, TimeoutError) as error:
        return str(error) or "it does not answer"
    return ""


@get(
    "/metrics",
    opt={"scope": Scope.METRICS_READ},
    summary="Figures for Prometheus",
    media_type="text/plain",
    tags=("operations",),
)
async def metrics(daemon: NamedDependency[Daemon]) -> Response[bytes]:
    """Counters, gauges and histograms in the text format of Prometheus."""
    daemon.metrics.runs.set(daemon.tenants.capacity.taken)
    daemon.metrics.streams.set(sum(one.broadcast.watchers for one in daemon.tenants.supervisors))
    daemon.metrics.tasks.set(len(asyncio.all_tasks()))
    daemon.metrics.threads.set(threading.active_count())
    return Response(daemon.metrics.text(), media_type=CONTENT_TYPE)
