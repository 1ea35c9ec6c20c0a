"""Errors below `/v1`, in the shape that OpenAI's clients read: which field is wrong, and a code that they know."""

import re
from http import HTTPStatus
from typing import Any, cast

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from agent_api.errors import InvalidRequestError, ModelNotFoundError, RateLimitedError
from agent_api.problems import Problem, problem, problem_of
from agent_core.errors import AgentError, ContextTooLongError, ModelRefusedError
from agent_gateway.errors import ProviderRefusedError

_CLIENTS_FAULT = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
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
    elif isinstance(error, ModelRefusedError):
        return _refused(error, shown)
    return shown


def _refused(error: ModelRefusedError, shown: Problem) -> Problem:
    """Clients ask again after every 5xx, unless they are told that it will not help. What the model's server found wrong
    with the request itself is the client's to mend; a key or a model that it does not know is not.
    """
    headers = {**shown.headers, "x-should-retry": "false"}
    if not isinstance(error, ProviderRefusedError) or error.status not in _CLIENTS_FAULT:
        return Problem(status=shown.status, headers=headers, body=shown.body)
    inner = cast("dict[str, object]", shown.body["error"])
    body: dict[str, object] = {"error": {**inner, "type": "invalid_request_error"}}
    return Problem(status=HTTPStatus.BAD_REQUEST, headers=headers, body=body)


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
    if first.get("message") == "'data'":  # the framework's word for the body
        return None, "there is no body: send a JSON object"
    detail = first.get("message", error.detail)
    missing = _MISSING.fullmatch(detail)
    if missing is not None:  # the framework names the body as a whole
        return missing[1], f"{missing[1]} is missing"
    param = first.get("key", "").removeprefix("$.") or None
    return param, f"{param}: {detail}" if param else detail


def _reply(shown: Problem) -> Response[Any]:
    media_type = shown.headers.pop("content-type")
    return Response(shown.body, status_code=shown.status, media_type=media_type, headers=shown.headers)
