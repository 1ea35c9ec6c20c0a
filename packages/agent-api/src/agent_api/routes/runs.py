"""`/api/v1/runs`: start a run, look at it, follow its events."""

import time
from functools import partial
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_202_ACCEPTED

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.daemon import Daemon
from agent_api.streaming import event_stream
from agent_api.supervisor import Supervisor
from agent_api.wire.runs import NewRun, RunView


class RunsController(Controller):
    """Runs of this daemon."""

    path = "/api/v1/runs"
    tags = ("runs",)

    @post(opt={"scope": Scope.RUNS_WRITE}, status_code=HTTP_202_ACCEPTED, summary="Start a run")
    async def start(
        self,
        data: JSONBody[NewRun],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> RunView:
        """Journal a run and drive it in the background; follow it at `/events`."""
        daemon.book.check(principal.key, time.time())
        pay = partial(daemon.book.own, tenant=principal.tenant, key_id=principal.key.key_id)
        return await supervisor.submit(data, on_started=pay)

    @get("/{run_id:str}", opt={"scope": Scope.RUNS_READ}, summary="Look at a run")
    async def show(self, run_id: FromPath[str], supervisor: NamedDependency[Supervisor]) -> RunView:
        """What is known of a run now."""
        return await supervisor.view(run_id)

    @get(
        "/{run_id:str}/events",
        opt={"scope": Scope.RUNS_READ},
        summary="Follow a run",
        media_type="text/event-stream",
    )
    async def events(
        self,
        run_id: FromPath[str],
        supervisor: NamedDependency[Supervisor],
        after: Annotated[int, QueryParameter(ge=0, description="Only events behind this number.")] = 0,
        last_event_id: Annotated[
            int | None, HeaderParameter(name="Last-Event-ID", ge=0, description="As `after`; goes first.")
        ] = None,
    ) -> Stream:
        """Server-sent events: the journal's, each with its number as id, and the model's deltas, without one."""
        await supervisor.view(run_id)
        behind = after if last_event_id is None else last_event_id
        frames = event_stream(supervisor.agent.journal, supervisor.broadcast, run_id, after=behind)
        return Stream(
            frames,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
