"""Errors below `/v1`, in the shape that OpenAI's clients read: which field is wrong, and a code that they know."""

import re
from http import HTTPStatus
from typing import Any, cast

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from agent_api.errors import InvalidRequestError, ModelNotFoundError, RateLimitedError
from agent_api.problems import Problem, problem, problem_of
from agent_core.errors import AgentError, ContextTooLongError

_MISSING = re.compile(r"Object missing required field `(\w+)`")


def failure(error: AgentError, path: str) -> Problem:
    """The reply for one of our errors."""
    shown = problem_of(error, path)
    inner = cast("dict[str, object]", shown.body["error"])
    if isinstance(error, InvalidRequestError):
        inner |= {"param": error.param, "code": error.code}
    elif isinstance(error, ModelNotFoundError):
        inner |= {"param": "model", "code": "model_not_found"}
    elif isinstance(error, RateLimitedError):
        inner |= {"type": "rate_limit_error", "code": "rate_limit_exceeded"}
    elif isinstance(error, ContextTooLongError):  # 413 elsewhere; clients know it by its code and this status
        inner |= {"param": "messages", "code": "context_length_exceeded"}
        return Problem(status=HTTPStatus.BAD_REQUEST, headers=shown.headers, body=shown.body)
    return shown


def failure_body(error: AgentError, path: str) -> dict[str, object]:
    """The same where the status has gone out already."""
    return failure(error, path).body


def agent_failure(request: Request[Any, Any, State], error: AgentError) -> Response[Any]:
    """One of our errors."""
    return _reply(failure(error, request.url.path))


def http_failure(request: Request[Any, Any, State], error: HTTPException) -> Response[Any]:
    """One of the framework's: a body that is not what it should be says which field it is."""
    slug = "invalid-request" if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
    param, detail = _wrong_field(error)
    shown = problem(error.status_code, slug, detail, request.url.path)
    cast("dict[str, object]", shown.body["error"])["param"] = param
    return _reply(shown)


def _wrong_field(error: HTTPException) -> tuple[str | None, str]:
    extra: object = error.extra
    if not isinstance(extra, list) or not extra or not isinstance(extra[0], dict):
        return None, error.detail
    first = cast("dict[str, str]", extra[0])
    detail = first.get("message", error.detail)
    missing = _MISSING.fullmatch(detail)
    if missing is not None:  # the framework names the body as a whole
        return missing[1], f"{missing[1]} is missing"
    param = first.get("key", "").removeprefix("$.") or None
    return param, f"{param}: {detail}" if param else detail


def _reply(shown: Problem) -> Response[Any]:
    media_type = shown.headers.pop("content-type")
    return Response(shown.body, status_code=shown.status, media_type=media_type, headers=shown.headers)
