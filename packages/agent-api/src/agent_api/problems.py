"""One table from errors to what a person or a client sees: exit codes of the command line, RFC 9457 problems of the API."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

import msgspec

from agent_api.errors import (
    AccessUnavailableError,
    AlreadyThereError,
    BodyTooLargeError,
    IdempotencyError,
    IdempotencyReusedError,
    InvalidRequestError,
    KeyRefusedError,
    NotFoundError,
    OpenBindError,
    OriginRefusedError,
    RateLimitedError,
    RunBusyError,
    ScopeMissingError,
    SessionBusyError,
    SettingsError,
    TooManyIngestsError,
    TooManyKeptError,
    TooManyRunsError,
)
from agent_api.exit_codes import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_UNREACHABLE, EXIT_USAGE
from agent_core.errors import (
    AgentError,
    ConfigurationError,
    ContextTooLongError,
    JournalUnavailableError,
    KnowledgeError,
    KnowledgeUnavailableError,
    ModelRefusedError,
    ModelUnavailableError,
    ProtocolError,
    RunNotFoundError,
)
from agent_memory import ImportFormatError, MemoryUnavailableError


class Outcome(msgspec.Struct, frozen=True):
    """How one kind of error is shown."""

    slug: str
    status: HTTPStatus
    exit_code: int


OUTCOMES: dict[type[AgentError], Outcome] = {
    RunNotFoundError: Outcome("run-not-found", HTTPStatus.NOT_FOUND, EXIT_NOT_FOUND),
    NotFoundError: Outcome("not-found", HTTPStatus.NOT_FOUND, EXIT_NOT_FOUND),
    InvalidRequestError: Outcome("invalid-request", HTTPStatus.BAD_REQUEST, EXIT_USAGE),
    SessionBusyError: Outcome("session-busy", HTTPStatus.CONFLICT, EXIT_FAILED),
    AlreadyThereError: Outcome("already-there", HTTPStatus.CONFLICT, EXIT_FAILED),
    ImportFormatError: Outcome("import", HTTPStatus.BAD_REQUEST, EXIT_FAILED),
    BodyTooLargeError: Outcome("body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, EXIT_FAILED),
    TooManyKeptError: Outcome("too-many-kept", HTTPStatus.CONFLICT, EXIT_FAILED),
    MemoryUnavailableError: Outcome("memory-unavailable", HTTPStatus.INSUFFICIENT_STORAGE, EXIT_FAILED),
    AccessUnavailableError: Outcome("access-unavailable", HTTPStatus.INSUFFICIENT_STORAGE, EXIT_FAILED),
    RunBusyError: Outcome("run-busy", HTTPStatus.CONFLICT, EXIT_FAILED),
    TooManyIngestsError: Outcome("too-many-ingests", HTTPStatus.SERVICE_UNAVAILABLE, EXIT_FAILED),
    TooManyRunsError: Outcome("too-many-runs", HTTPStatus.SERVICE_UNAVAILABLE, EXIT_FAILED),
    KeyRefusedError: Outcome("key-refused", HTTPStatus.UNAUTHORIZED, EXIT_USAGE),
    ScopeMissingError: Outcome("scope-missing", HTTPStatus.FORBIDDEN, EXIT_USAGE),
    OriginRefusedError: Outcome("origin-refused", HTTPStatus.FORBIDDEN, EXIT_USAGE),
    IdempotencyError: Outcome("idempotency-key", HTTPStatus.CONFLICT, EXIT_FAILED),
    IdempotencyReusedError: Outcome("idempotency-key-reused", HTTPStatus.UNPROCESSABLE_ENTITY, EXIT_USAGE),
    RateLimitedError: Outcome("rate-limited", HTTPStatus.TOO_MANY_REQUESTS, EXIT_FAILED),
    ProtocolError: Outcome("not-now", HTTPStatus.CONFLICT, EXIT_FAILED),
    SettingsError: Outcome("settings", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    ConfigurationError: Outcome("settings", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    OpenBindError: Outcome("open-bind", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    ContextTooLongError: Outcome("context-too-long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, EXIT_FAILED),
    ModelRefusedError: Outcome("model-refused", HTTPStatus.BAD_GATEWAY, EXIT_FAILED),
    ModelUnavailableError: Outcome("model-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, EXIT_UNREACHABLE),
    JournalUnavailableError: Outcome("journal-unavailable", HTTPStatus.INSUFFICIENT_STORAGE, EXIT_FAILED),
    KnowledgeUnavailableError: Outcome("knowledge-unavailable", HTTPStatus.INSUFFICIENT_STORAGE, EXIT_FAILED),
    KnowledgeError: Outcome("knowledge", HTTPStatus.BAD_REQUEST, EXIT_USAGE),
    AgentError: Outcome("failed", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_FAILED),
}


def outcome(error: AgentError) -> Outcome:
    """The row of the most specific class that `error` belongs to."""
    return next(OUTCOMES[cls] for cls in type(error).__mro__ if cls in OUTCOMES)


PROBLEM_JSON = "application/problem+json"
OPENAI_PATH = "/v1/"
"""Below it errors have the shape that OpenAI's clients read."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a reply."""

    status: int
    headers: dict[str, str]
    body: dict[str, object]


def problem_of(error: AgentError, path: str) -> Problem:
    """The reply for one of our errors, to a request for `path`."""
    shown = outcome(error)
    headers: dict[str, str] = {}
    if isinstance(error, RateLimitedError):
        headers["Retry-After"] = str(ceil(error.retry_after_s))
    elif error.retryable:
        headers["Retry-After"] = "1"
    if shown.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(shown.status, shown.slug, str(error), path, headers)


def problem(
    status: int, slug: str, detail: str, path: str, headers: Mapping[str, str] | None = None
) -> Problem:
    """A reply that is an RFC 9457 problem, or what OpenAI's clients read."""
    if path.startswith(OPENAI_PATH):
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        body: dict[str, object] = {
            "error": {"message": detail, "type": kind, "param": None, "code": slug.replace("-", "_")}
        }
        media_type = "application/json"
    else:
        body = {
            "type": f"urn:agentd:{slug}",
            "title": slug.replace("-", " "),
            "status": status,
            "detail": detail,
        }
        media_type = PROBLEM_JSON
    return Problem(status=status, headers={"content-type": media_type, **(headers or {})}, body=body)
