"""The Litestar application: routes, errors, limits. Knows nothing of how it is served."""

import logging
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from agent_api import __version__
from agent_api.problems import outcome
from agent_api.routes.health import health
from agent_api.routes.runs import RunsController
from agent_api.supervisor import Supervisor
from agent_core.errors import AgentError

logger = logging.getLogger("agentd")

MAX_BODY_BYTES = 2 * 1024 * 1024
PROBLEM_JSON = "application/problem+json"


def create_app(supervisor: Supervisor) -> Litestar:
    """The application over one supervisor."""

    def provide_supervisor() -> Supervisor:
        return supervisor

    return Litestar(
        route_handlers=[health, RunsController],
        dependencies={"supervisor": Provide(provide_supervisor, sync_to_thread=False, use_cache=True)},
        exception_handlers={AgentError: _agent_problem, HTTPException: _http_problem, Exception: _fault},
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(title="agentd", version=__version__, path="/schema"),
        logging_config=None,  # the command line sets logging up
        debug=False,
    )


def _problem(status: int, slug: str, detail: str, headers: dict[str, str] | None = None) -> Response[Any]:
    """An RFC 9457 problem."""
    return Response(
        {"type": f"urn:agentd:{slug}", "title": slug.replace("-", " "), "status": status, "detail": detail},
        status_code=status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def _agent_problem(_: Request[Any, Any, State], error: AgentError) -> Response[Any]:
    shown = outcome(error)
    headers = {"Retry-After": "1"} if error.retryable else None
    return _problem(shown.status, shown.slug, str(error), headers)


def _http_problem(_: Request[Any, Any, State], error: HTTPException) -> Response[Any]:
    extra = "; ".join(str(one) for one in error.extra) if isinstance(error.extra, list) else ""
    detail = f"{error.detail}: {extra}" if extra else error.detail
    return _problem(error.status_code, "bad-request" if error.status_code < 500 else "failed", detail)


def _fault(request: Request[Any, Any, State], error: Exception) -> Response[Any]:
    logger.error("a fault in %s %s", request.method, request.url.path, exc_info=error)
    return _problem(500, "failed", "a fault in the daemon; its log says more")
