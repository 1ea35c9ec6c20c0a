"""Errors of the daemon and the command line.

AgentError
└── ApiError
    ├── SettingsError           a setting is missing, unknown or of the wrong kind
    │   └── WrongSettingError   one setting, by its name
    ├── NotFoundError           what was named does not exist
    │   └── ModelNotFoundError  no model of that name can be asked
    ├── InvalidRequestError     a request to the OpenAI-compatible API asks for what cannot be
    ├── RunBusyError            another process drives this run
    ├── TooManyRunsError        the daemon drives as many runs as it may
    ├── TooManyIngestsError     as many ingests, imports or exports of a tenant are under way as may be
    ├── AlreadyThereError       an import brings what is there already
    ├── TooManyKeptError        as many webhooks or schedules are kept for a tenant as may be
    ├── SessionBusyError        a run of a session is not over, or it is being erased
    ├── KeyRefusedError         no API key, or none that opens anything
    ├── ScopeMissingError       the key is not allowed to do this
    ├── OriginRefusedError      a page of another site asked
    ├── RateLimitedError        the key has asked too often, or spent what it may
    ├── AccessUnavailableError  the files of keys, sessions and spending cannot be written
    ├── A2aRefusedError         a message of the Agent2Agent protocol asks for what cannot be
    ├── BodyTooLargeError       a body is larger than the daemon takes
    ├── IdempotencyError        an idempotency key that cannot be used for this request now
    │   └── IdempotencyReusedError  it was used for another request
    └── OpenBindError           an address that others can reach, over plain HTTP
"""

from agent_core.errors import AgentError


class ApiError(AgentError):
    """The root of this package's errors."""


class SettingsError(ApiError):
    """A setting is missing, unknown or of the wrong kind."""


class WrongSettingError(SettingsError):
    """One setting is wrong; `key` is its dotted name."""

    def __init__(self, key: str, reason: str, *, origin: str = "") -> None:
        """`origin` is the file, or what else it was set by; empty: not known yet."""
        super().__init__(f"setting {key!r}{f' (from {origin})' if origin else ''}: {reason}")
        self.key = key
        self.reason = reason
        self.origin = origin


class NotFoundError(ApiError):
    """What was named does not exist."""


class ModelNotFoundError(NotFoundError):
    """No model of that name can be asked."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"the model {name!r} does not exist; there are: {', '.join(known)}")


class InvalidRequestError(ApiError):
    """A request to the OpenAI-compatible API asks for what cannot be; `param` is the field that says so."""

    def __init__(self, message: str, *, param: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class RunBusyError(ApiError):
    """Another process drives this run."""

    retryable = True

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} is being driven by another process; wait for it, or watch it there")
        self.run_id = run_id


class TooManyRunsError(ApiError):
    """The daemon drives as many runs as it may."""

    retryable = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} runs are being driven already (setting max_runs); try again in a moment")
        self.limit = limit


class TooManyIngestsError(ApiError):
    """As many ingests, imports or exports of a tenant are under way as may be."""

    retryable = True

    def __init__(self, limit: int, what: str = "ingests") -> None:
        super().__init__(f"{limit} {what} are under way already; try again when one is over")
        self.limit = limit


class AlreadyThereError(ApiError):
    """An import brings what is there already: it never mixes with it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"there is {what} already, and an import goes only to where nothing is yet; erase it first"
        )


class TooManyKeptError(ApiError):
    """As many of something are kept for a tenant as may be."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"there are {limit} {what} already, and no more may be; remove one that is not needed"
        )
        self.limit = limit


class SessionBusyError(ApiError):
    """A session is in use: a run of it is not over, or it is being erased."""

    def __init__(self, session_id: str, why: str) -> None:
        super().__init__(f"session {session_id!r} {why}")
        self.session_id = session_id


class KeyRefusedError(ApiError):
    """No API key came along, or none that opens anything. Why is not said: that would help who guesses."""

    def __init__(self) -> None:
        super().__init__(
            "this needs an API key that is valid: send it as `Authorization: Bearer KEY`; `agent keys create` makes one"
        )


class ScopeMissingError(ApiError):
    """The key is valid, and not allowed to do this."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"this key does not have the scope {scope!r}; `agent keys create --scope {scope}` makes one"
        )
        self.scope = scope


class OriginRefusedError(ApiError):
    """A page of another site asked, or a browser's request does not prove that none did."""

    def __init__(self, why: str = "the Origin is not that of this server") -> None:
        super().__init__(f"a page of another site may not ask here: {why}")


class RateLimitedError(ApiError):
    """The key has asked too often, or spent what it may."""

    retryable = True

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(f"this key is over its limit on {what}; try again in {retry_after_s:.0f} s")
        self.what = what
        self.retry_after_s = retry_after_s


class AccessUnavailableError(ApiError):
    """A file of keys, console sessions or spending cannot be written; nothing was changed."""

    retryable = True

    def __init__(self, what: str, where: str, reason: str) -> None:
        super().__init__(f"{what} cannot be written to {where}: {reason}")
        self.where = where


class A2aRefusedError(ApiError):
    """A message of the Agent2Agent protocol asks for what cannot be; `code` is the protocol's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BodyTooLargeError(ApiError):
    """A body is larger than the daemon takes."""

    def __init__(self, limit: int, setting: str) -> None:
        super().__init__(f"the body has more than {limit} bytes (setting {setting})")


class IdempotencyError(ApiError):
    """An idempotency key that cannot be used for this request now."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the idempotency key {why}")


class IdempotencyReusedError(IdempotencyError):
    """An idempotency key that was used for another request."""

    def __init__(self) -> None:
        super().__init__("was used for another request; choose a new one")


class OpenBindError(ApiError):
    """The daemon would be reachable from outside, and keys would travel in the clear."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to listen on {host!r}: agentd speaks plain HTTP, so it listens on loopback (127.0.0.1, ::1) or a "
            "unix socket (--uds) only; put a proxy that speaks TLS in front of it"
        )
        self.host = host
