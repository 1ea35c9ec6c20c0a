"""The events of a run, live: server-sent events and a WebSocket, both resumable behind a number."""

from typing import Annotated, Any

from litestar import WebSocket, get, websocket
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from agent_api.access.scopes import Scope
from agent_api.pieces import Pieces
from agent_api.streaming import event_lines, event_stream
from agent_api.supervisor import Supervisor
from agent_core.errors import RunNotFoundError

CLOSED_BY_NOTHING_THERE = 4404
CLOSED_BY_ORIGIN = 4403
"""Codes of a WebSocket that is closed (4000 to 4999 are the application's own, RFC 6455)."""


@get(
    "/api/v1/runs/{run_id:str}/events",
    opt={"scope": Scope.RUNS_READ},
    summary="Follow a run",
    media_type="text/event-stream",
    tags=("runs",),
)
async def events(
    run_id: FromPath[str],
    supervisor: NamedDependency[Supervisor],
    after: Annotated[int, QueryParameter(ge=0, description="Only events behind this number.")] = 0,
    last_event_id: Annotated[
        int | None, HeaderParameter(name="Last-Event-ID", ge=0, description="As `after`; goes first.")
    ] = None,
) -> Stream:
    """Server-sent events: the journal's, each with its number as id, and the model's deltas, without one."""
    behind = after if last_event_id is None else last_event_id
    frames = await event_stream(supervisor.agent.journal, supervisor.broadcast, run_id, after=behind)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Pieces(frames, media_type="text/event-stream", headers=headers)


@websocket("/api/v1/runs/{run_id:str}/socket", opt={"scope": Scope.RUNS_READ})
async def socket(
    socket: WebSocket[Any, Any, State],
    run_id: FromPath[str],
    supervisor: NamedDependency[Supervisor],
    after: Annotated[int, QueryParameter(ge=0)] = 0,
) -> None:
    """The same as JSON text messages, one an event or delta; what the client sends is not read."""
    if not same_origin(socket):
        await socket.close(code=CLOSED_BY_ORIGIN, reason="another origin")
        return
    try:
        lines = await event_lines(supervisor.agent.journal, supervisor.broadcast, run_id, after=after)
    except RunNotFoundError as error:
        await socket.close(code=CLOSED_BY_NOTHING_THERE, reason=str(error)[:120])
        return
    await socket.accept()
    try:
        async for line in lines:
            await socket.send_text(line.decode())
    except WebSocketDisconnect:
        return
    await socket.close()


def same_origin(connection: ASGIConnection[Any, Any, Any, State]) -> bool:
    """A browser says where a page came from: only our own pages may ask. Other clients say nothing."""
    origin = connection.headers.get("origin")
    return origin is None or origin.partition("://")[2] == connection.headers.get("host")
