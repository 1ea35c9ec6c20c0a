"""Errors of the daemon and the command line.

AgentError
└── ApiError
    ├── SettingsError           a setting is missing, unknown or of the wrong kind
    ├── NotFoundError           what was named does not exist
    ├── RunBusyError            another process drives this run
    ├── TooManyRunsError        the daemon drives as many runs as it may
    └── OpenBindError           an address that others can reach, and no keys to protect it
"""

from agent_core.errors import AgentError


class ApiError(AgentError):
    """The root of this package's errors."""


class SettingsError(ApiError):
    """A setting is missing, unknown or of the wrong kind."""


class NotFoundError(ApiError):
    """What was named does not exist."""


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


class OpenBindError(ApiError):
    """The daemon would be reachable from outside with nothing to protect it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to listen on {host!r}: without API keys agentd listens on loopback (127.0.0.1, ::1) "
            "or a unix socket (--uds) only"
        )
        self.host = host
