"""`/a2a` and the agent card: the Agent2Agent protocol over JSON-RPC, in the revisions 1.0 and 0.3."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from agent_api.a2a import methods
from agent_api.a2a.card import PATH, card
from agent_api.a2a.push_methods import PushCalls
from agent_api.a2a.shapes import SHAPES, Revision
from agent_api.a2a.tasks import Task, Tasks
from agent_api.access.gate import Principal
from agent_api.access.scopes import NO_KEY, Scope
from agent_api.daemon import Daemon
from agent_api.errors import A2aRefusedError, OriginRefusedError
from agent_api.json_rpc import JSON, STREAM, JsonRpcOperation
from agent_api.openai.chat_reply import PING
from agent_api.openai.talk import Waiting
from agent_api.operations import Operations
from agent_api.routes.events import same_origin
from agent_api.supervisor import Supervisor
from agent_core.errors import AgentError
from agent_skills.mcp import wire
from agent_skills.mcp.errors import McpRefusedError

VERSION_NOT_SUPPORTED = -32009
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MESSAGE = {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "What is 17*23?"}]}


@dataclass
class A2aOperation(JsonRpcOperation):
    """A message of A2A. What is wrong with it is said in the reply, whose status is 200."""

    replies: ClassVar[dict[int, tuple[str, tuple[str, ...]]]] = {
        200: ("The answer, or an error; or a stream of answers.", (JSON, STREAM)),
    }
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "begin a task": {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": _MESSAGE}},
        "look at it": {"jsonrpc": "2.0", "id": 2, "method": "GetTask", "params": {"id": "run_1"}},
    }


@post(
    "/a2a",
    opt={"scope": Scope.RUNS_READ},
    status_code=HTTP_200_OK,
    operation_class=A2aOperation,
    summary="Speak the Agent2Agent protocol",
    tags=("protocols",),
)
async def a2a(
    request: Request[Any, Any, State],
    principal: NamedDependency[Principal],
    supervisor: NamedDependency[Supervisor],
    daemon: NamedDependency[Daemon],
    operations: NamedDependency[Operations],
) -> Response[bytes] | Stream:
    """Tasks are runs, a context is a session. To begin or end one takes `runs:write`, to answer one `approvals:write`."""
    if not same_origin(request):
        raise OriginRefusedError
    body = await request.body()
    try:
        message = wire.decode(body)
        revision = _revision(request, message)
        tasks = Tasks(supervisor, principal, daemon.book)
        caller = methods.Caller(
            tasks=tasks,
            pushing=PushCalls(tasks=tasks, pushes=operations.pushes),
            shapes=SHAPES[revision],
            card=lambda: card(
                _url(request, daemon),
                supervisor.agent.skills.listed(),
                sees=supervisor.agent.model.profile.vision,
            ),
        )
        if message.name in methods.STREAMS:
            task = await methods.STREAMS[message.name][1](caller, message.given)
            frames = _frames(caller, task, wire.id_in(body))
            return Stream(frames, media_type=STREAM, headers=_HEADERS)
        result = await methods.METHODS[message.name][1](caller, message.given)
    except (A2aRefusedError, McpRefusedError) as error:
        return _reply(wire.encode(wire.failure(wire.id_in(body), error.code, str(error))))
    return _reply(_answer(wire.id_in(body), result))


def card_route(*, is_public: bool) -> HTTPRouteHandler:
    """The route of the agent card: for any key, or for anybody."""

    @get(
        PATH,
        opt={"scope": NO_KEY if is_public else Scope.RUNS_READ},
        summary="The agent card",
        tags=("protocols",),
    )
    async def agent_card(
        request: Request[Any, Any, State], daemon: NamedDependency[Daemon]
    ) -> dict[str, object]:
        """Who this is and how it is spoken to; what it can do is in the extended card."""
        return dict(card(_url(request, daemon), sees=daemon.tenants.machine.model.profile.vision))

    return agent_card


def _url(request: Request[Any, Any, State], daemon: Daemon) -> str:
    base = daemon.settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}/a2a"


def _revision(request: Request[Any, Any, State], message: wire.Message) -> Revision:
    if message.is_response:
        raise A2aRefusedError(wire.Code.INVALID_REQUEST, "a request was expected, and this is a response")
    wanted = request.headers.get("a2a-version", "")
    if wanted and ".".join(wanted.split(".")[:2]) not in set(Revision):
        spoken = ", ".join(Revision)
        raise A2aRefusedError(
            VERSION_NOT_SUPPORTED, f"A2A {wanted!r} is not spoken here; these are: {spoken}"
        )
    return methods.revision_of(message.name)


async def _frames(
    caller: methods.Caller, task: Task, request_id: wire.RequestId | None
) -> AsyncIterator[bytes]:
    try:
        async with aclosing(methods.updates(caller, task)) as updates:
            async for update in updates:
                yield PING if isinstance(update, Waiting) else _frame(wire.response(request_id, update))
    except AgentError as error:
        yield _frame(wire.failure(request_id, wire.Code.INTERNAL, str(error)))


def _answer(request_id: wire.RequestId | None, result: methods.Result) -> bytes:
    if isinstance(result, Mapping):
        return wire.encode(wire.response(request_id, result))
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": result})


def _frame(message: wire.Message) -> bytes:
    return b"data: %b\n\n" % wire.encode(message)


def _reply(body: bytes) -> Response[bytes]:
    return Response(body, media_type=JSON, status_code=HTTP_200_OK)
