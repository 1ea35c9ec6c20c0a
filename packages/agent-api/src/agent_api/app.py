"""The Litestar application: routes, errors, limits. Knows nothing of how it is served."""

import logging
from typing import Any, cast

from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.types import Middleware, Scope

from agent_api import __version__
from agent_api.a2a.card import PATH as CARD_PATH
from agent_api.access.asgi import Application
from agent_api.access.gate import OPEN_PATHS, Gate, Principal, may
from agent_api.access.scopes import ANY_KEY
from agent_api.daemon import Daemon
from agent_api.description import Description
from agent_api.mcp.endpoints import McpEndpoints
from agent_api.openai.routes import openai_routes
from agent_api.operations import Operations
from agent_api.problems import OPENAI_PATH, Problem, problem, problem_of
from agent_api.routes.a2a import a2a, card_route
from agent_api.routes.console import ConsoleController
from agent_api.routes.events import events, socket
from agent_api.routes.health import health
from agent_api.routes.keys import KeysController
from agent_api.routes.knowledge import KnowledgeController
from agent_api.routes.looking import audit, models, skills, usage
from agent_api.routes.mcp import mcp, mcp_end
from agent_api.routes.mcp_servers import McpServersController
from agent_api.routes.memory import MemoryController
from agent_api.routes.operations import metrics, ready
from agent_api.routes.runs import RunsController
from agent_api.routes.schedules import SchedulesController
from agent_api.routes.sessions import SessionsController
from agent_api.routes.webhooks import WebhooksController
from agent_api.supervisor import Supervisor
from agent_core.errors import AgentError

logger = logging.getLogger("agentd")

MAX_BODY_BYTES = 2 * 1024 * 1024


ROUTES = (
    openai_routes,
    health,
    ConsoleController,
    RunsController,
    SessionsController,
    WebhooksController,
    SchedulesController,
    events,
    socket,
    KeysController,
    KnowledgeController,
    MemoryController,
    a2a,
    mcp,
    mcp_end,
    McpServersController,
    skills,
    models,
    usage,
    audit,
    ready,
    metrics,
)


def _dependencies(daemon: Daemon) -> dict[str, Provide]:
    """What routes may ask for. Each asks for the one before: the framework starts a task for each of those that could be
    made side by side.
    """
    endpoints = McpEndpoints(daemon)

    def provide_daemon() -> Daemon:
        return daemon

    def provide_principal(scope: Scope, daemon: NamedDependency[Daemon]) -> Principal:  # noqa: ARG001
        return cast("Principal", dict(scope)["principal"])  # set by the gate

    async def provide_supervisor(
        daemon: NamedDependency[Daemon], principal: NamedDependency[Principal]
    ) -> Supervisor:
        return await daemon.tenants.supervisor(principal.tenant)

    def provide_endpoints(supervisor: NamedDependency[Supervisor]) -> McpEndpoints:  # noqa: ARG001
        return endpoints

    async def provide_operations(
        daemon: NamedDependency[Daemon], principal: NamedDependency[Principal]
    ) -> Operations:
        return await daemon.tenants.operations(principal.tenant)

    return {
        "daemon": Provide(provide_daemon, sync_to_thread=False, use_cache=True),
        "principal": Provide(provide_principal, sync_to_thread=False),
        "supervisor": Provide(provide_supervisor),
        "operations": Provide(provide_operations),
        "mcp_endpoints": Provide(provide_endpoints, sync_to_thread=False),
    }


def create_app(daemon: Daemon) -> Gate:
    """The application over one daemon, behind its gate."""
    is_public = daemon.settings.public_card
    open_paths = OPEN_PATHS | {CARD_PATH} if is_public else OPEN_PATHS
    application = Litestar(
        route_handlers=[*ROUTES, card_route(is_public=is_public)],
        middleware=[cast("Middleware", may)],
        dependencies=_dependencies(daemon),
        exception_handlers={AgentError: _agent_problem, HTTPException: _http_problem, Exception: _fault},
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=Description(
            title="agentd",
            version=__version__,
            open_paths=open_paths,
            openapi_router=Router(
                "/schema", route_handlers=[], opt={"scope": ANY_KEY}, include_in_schema=False
            ),
        ),
        logging_config=None,  # the command line sets logging up
        debug=False,
    )
    return Gate(
        cast("Application", application),
        keys=daemon.keys,
        book=daemon.book,
        audit=daemon.audit,
        replies=daemon.replies,
        sessions=daemon.console,
        metrics=daemon.metrics,
        open_paths=open_paths,
    )


def _reply(shown: Problem) -> Response[Any]:
    media_type = shown.headers.pop("content-type")
    return Response(shown.body, status_code=shown.status, media_type=media_type, headers=shown.headers)


def _agent_problem(request: Request[Any, Any, State], error: AgentError) -> Response[Any]:
    return _reply(problem_of(error, request.url.path))


def _http_problem(request: Request[Any, Any, State], error: HTTPException) -> Response[Any]:
    extra = "; ".join(str(one) for one in error.extra) if isinstance(error.extra, list) else ""
    detail = f"{error.detail}: {extra}" if extra else error.detail
    slug = "bad-request" if error.status_code < 500 else "failed"
    path = request.url.path
    if path.startswith(OPENAI_PATH) and error.status_code in {
        404,
        405,
    }:  # a client that was written for OpenAI
        slug, detail = "unknown-url", f"{request.method} {path} is not served here"
    return _reply(problem(error.status_code, slug, detail, path))


def _fault(request: Request[Any, Any, State], error: Exception) -> Response[Any]:
    logger.error("a fault in %s %s", request.method, request.url.path, exc_info=error)
    return _reply(problem(500, "failed", "a fault in the daemon; its log says more", request.url.path))
