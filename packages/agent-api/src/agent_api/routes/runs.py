"""`/api/v1/runs`: start runs, look at them, take them up again, cancel, fork and compare them, decide for a person."""

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, cast

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.daemon import Daemon
from agent_api.supervisor import Supervisor
from agent_api.wire.runs import CancelRun, Decide, ForkRun, NewRun, RunDiff, RunPage, RunView
from agent_core import events as ev

MAX_PAGE = 200


class RunsController(Controller):
    """Runs of one tenant."""

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
        return await supervisor.submit(data, on_named=_paid_by(principal, daemon), attempt=principal.attempt)

    @get(opt={"scope": Scope.RUNS_READ}, summary="List runs")
    async def page(
        self,
        supervisor: NamedDependency[Supervisor],
        session_id: Annotated[str, QueryParameter(description="Only runs of this session.")] = "",
        cursor: Annotated[str, QueryParameter(description="`next_cursor` of the page before.")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 50,
    ) -> RunPage:
        """The newest runs first."""
        items, more = await supervisor.views(session_id=session_id or None, behind=cursor, limit=limit)
        return RunPage(items=tuple(items), next_cursor=items[-1].run_id if more else None)

    @get("/{run_id:str}", opt={"scope": Scope.RUNS_READ}, summary="Look at a run")
    async def show(self, run_id: FromPath[str], supervisor: NamedDependency[Supervisor]) -> RunView:
        """What is known of a run now."""
        return await supervisor.view(run_id)

    @post(
        "/{run_id:str}/cancel",
        opt={"scope": Scope.RUNS_WRITE},
        status_code=HTTP_200_OK,
        summary="Cancel a run",
    )
    async def cancel(
        self,
        run_id: FromPath[str],
        data: JSONBody[CancelRun],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
    ) -> RunView:
        """End a run for good: its model and its tools are stopped."""
        command = ev.RunCancelled(at=supervisor.agent.runner.now(), by=_who(principal), reason=data.reason)
        return await supervisor.command(run_id, command, attempt=principal.attempt)

    @post(
        "/{run_id:str}/resume",
        opt={"scope": Scope.RUNS_WRITE},
        status_code=HTTP_202_ACCEPTED,
        summary="Take up a run",
    )
    async def resume(self, run_id: FromPath[str], supervisor: NamedDependency[Supervisor]) -> RunView:
        """Drive a run that was interrupted; any other stays as it is."""
        return await supervisor.resume(run_id)

    @post(
        "/{run_id:str}/fork",
        opt={"scope": Scope.RUNS_WRITE},
        status_code=HTTP_202_ACCEPTED,
        summary="Fork a run",
    )
    async def fork(
        self,
        run_id: FromPath[str],
        data: JSONBody[ForkRun],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> RunView:
        """A new run that begins with the first events of another, driven in the background."""
        return await supervisor.fork(
            run_id, data, on_named=_paid_by(principal, daemon), attempt=principal.attempt
        )

    @get("/{run_id:str}/diff/{other_id:str}", opt={"scope": Scope.RUNS_READ}, summary="Compare two runs")
    async def diff(
        self, run_id: FromPath[str], other_id: FromPath[str], supervisor: NamedDependency[Supervisor]
    ) -> RunDiff:
        """Where two runs part; times and ids do not count."""
        found = await supervisor.agent.runner.diverge(run_id, other_id)
        left, right = (tuple(map(_shown, events)) for events in (found.left, found.right))
        return RunDiff(common=found.common, left=left, right=right)

    @post(
        "/{run_id:str}/decisions",
        opt={"scope": Scope.APPROVALS_WRITE},
        status_code=HTTP_200_OK,
        summary="Decide on a call",
    )
    async def decide(
        self,
        run_id: FromPath[str],
        data: JSONBody[Decide],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
    ) -> RunView:
        """Allow or deny a call that waits for a person, or answer its question; the run goes on."""
        command = _command(data, supervisor.agent.runner.now(), _who(principal))
        return await supervisor.command(run_id, command, seen=data.seq, attempt=principal.attempt)


def _paid_by(principal: Principal, daemon: Daemon) -> Callable[[str], None]:
    """Has the key pay for a run, as soon as its id is known.

    Raises:
        RateLimitedError: the key has spent what it may.
    """
    daemon.book.check(principal.key, time.time())
    return partial(daemon.book.own, tenant=principal.tenant, key_id=principal.key.key_id)


def _who(principal: Principal) -> str:
    """The key, under the name that a person knows it by, for the journal."""
    return f"key {principal.key.key_id}" + (f" ({principal.key.name})" if principal.key.name else "")


def _command(data: Decide, now: float, by: str) -> ev.Event:
    match data.decision:
        case "allow":
            return ev.ApprovalGranted(at=now, tool_call_id=data.tool_call_id, by=by, arguments=data.arguments)
        case "deny":
            return ev.ApprovalDenied(at=now, tool_call_id=data.tool_call_id, by=by, reason=data.text)
        case "reply":
            return ev.InputGiven(at=now, tool_call_id=data.tool_call_id, by=by, text=data.text)


def _shown(event: ev.Event) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.to_builtins(event))
