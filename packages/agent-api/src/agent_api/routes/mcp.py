"""`/mcp`: the Model Context Protocol over Streamable HTTP, in the revisions that agent-skills speaks."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from litestar import Request, delete, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK
from litestar.types import ASGIApp

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.errors import OriginRefusedError
from agent_api.json_rpc import JSON, STREAM, TEXT, JsonRpcOperation
from agent_api.mcp.endpoints import McpEndpoints
from agent_api.problems import PROBLEM_JSON
from agent_api.routes.events import same_origin
from agent_api.supervisor import Supervisor

_META: dict[str, object] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class McpOperation(JsonRpcOperation):
    """A message of MCP."""

    replies: ClassVar[dict[int, tuple[str, tuple[str, ...]]]] = {
        200: ("The answer, or a stream of messages that ends with it.", (JSON, STREAM)),
        202: ("A message that wants no answer was taken.", (TEXT,)),
        400: ("The message is not understood.", (JSON, PROBLEM_JSON)),
        404: ("There is no such method, or no such session.", (JSON, TEXT)),
        413: ("The message is too large.", (TEXT, PROBLEM_JSON)),
    }
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "what tools there are": {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/list",
            "params": {"_meta": _META},
        },
        "call one": {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "calculator", "arguments": {"expression": "6 * 7"}, "_meta": _META},
        },
    }


@dataclass
class McpEndOperation(JsonRpcOperation):
    """The end of a session."""

    replies: ClassVar[dict[int, tuple[str, tuple[str, ...]]]] = {
        204: ("The session is over.", ()),
        404: ("There is no such session.", (TEXT,)),
    }


@post(
    "/mcp",
    opt={"scope": Scope.SKILLS_USE, "unrepeatable": True},  # a tool may have done anything
    operation_class=McpOperation,
    summary="Speak the Model Context Protocol",
    tags=("protocols",),
)
async def mcp(
    request: Request[Any, Any, State],
    principal: NamedDependency[Principal],
    supervisor: NamedDependency[Supervisor],
    mcp_endpoints: NamedDependency[McpEndpoints],
) -> ASGIApp:
    """The skills of the tenant as tools. A skill that sends data out or destroys asks the client's user first."""
    return _answer(request, principal, supervisor, mcp_endpoints)


@delete(
    "/mcp",
    opt={"scope": Scope.SKILLS_USE},
    status_code=HTTP_200_OK,  # the reply has its own
    operation_class=McpEndOperation,
    summary="End a session of the Model Context Protocol",
    tags=("protocols",),
)
async def mcp_end(
    request: Request[Any, Any, State],
    principal: NamedDependency[Principal],
    supervisor: NamedDependency[Supervisor],
    mcp_endpoints: NamedDependency[McpEndpoints],
) -> ASGIApp:
    """The session that `Mcp-Session-Id` names, of revisions that have sessions."""
    return _answer(request, principal, supervisor, mcp_endpoints)


def _answer(
    request: Request[Any, Any, State],
    principal: Principal,
    supervisor: Supervisor,
    endpoints: McpEndpoints,
) -> ASGIApp:
    if not same_origin(request):
        raise OriginRefusedError
    return cast("ASGIApp", endpoints.answer(principal, supervisor))
