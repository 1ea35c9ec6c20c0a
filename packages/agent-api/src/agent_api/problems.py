"""One table from errors to what a person or a client sees: exit codes of the command line, RFC 9457 problems of the API."""

from http import HTTPStatus

import msgspec

from agent_api.errors import NotFoundError, OpenBindError, RunBusyError, SettingsError, TooManyRunsError
from agent_api.exit_codes import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_UNREACHABLE, EXIT_USAGE
from agent_core.errors import (
    AgentError,
    ConfigurationError,
    ContextTooLongError,
    JournalUnavailableError,
    ModelRefusedError,
    ModelUnavailableError,
    ProtocolError,
    RunNotFoundError,
)


class Outcome(msgspec.Struct, frozen=True):
    """How one kind of error is shown."""

    slug: str
    status: HTTPStatus
    exit_code: int


OUTCOMES: dict[type[AgentError], Outcome] = {
    RunNotFoundError: Outcome("run-not-found", HTTPStatus.NOT_FOUND, EXIT_NOT_FOUND),
    NotFoundError: Outcome("not-found", HTTPStatus.NOT_FOUND, EXIT_NOT_FOUND),
    RunBusyError: Outcome("run-busy", HTTPStatus.CONFLICT, EXIT_FAILED),
    TooManyRunsError: Outcome("too-many-runs", HTTPStatus.SERVICE_UNAVAILABLE, EXIT_FAILED),
    ProtocolError: Outcome("not-now", HTTPStatus.CONFLICT, EXIT_FAILED),
    SettingsError: Outcome("settings", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    ConfigurationError: Outcome("settings", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    OpenBindError: Outcome("open-bind", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_USAGE),
    ContextTooLongError: Outcome("context-too-long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, EXIT_FAILED),
    ModelRefusedError: Outcome("model-refused", HTTPStatus.BAD_GATEWAY, EXIT_FAILED),
    ModelUnavailableError: Outcome("model-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, EXIT_UNREACHABLE),
    JournalUnavailableError: Outcome("journal-unavailable", HTTPStatus.INSUFFICIENT_STORAGE, EXIT_FAILED),
    AgentError: Outcome("failed", HTTPStatus.INTERNAL_SERVER_ERROR, EXIT_FAILED),
}


def outcome(error: AgentError) -> Outcome:
    """The row of the most specific class that `error` belongs to."""
    return next(OUTCOMES[cls] for cls in type(error).__mro__ if cls in OUTCOMES)
