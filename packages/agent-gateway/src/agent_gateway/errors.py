"""The error tree of agent-gateway. Each leaf is also one of the model errors that the `ChatModel` port promises,
so a caller who knows only agent-core handles them all.

GatewayError
├── ProviderUnavailableError    unreachable, overloaded, rate limited, broken off; may carry `retry_after_s`
├── ProviderRefusedError        the provider says that the request is wrong
│   ├── CredentialsError        no key, a wrong key, or a key without the right
│   └── UnknownRemoteModelError the provider has no such model, or the base URL is no such service
├── ConstraintUnsupportedError  the server has no way to hold its output to this kind of constraint
├── WeightsError                a weight file is missing, truncated or not one
├── MissingExtraError           a local engine's wheel is not installed
├── UnknownModelError           a model name that the catalog does not know
└── UnknownServerError          a kind of server that is not in `compat.COMPATS`
"""

from pathlib import Path

from agent_core.errors import AgentError, ConfigurationError, ModelRefusedError, ModelUnavailableError


class GatewayError(AgentError):
    """The root of the errors of agent-gateway."""


class ProviderUnavailableError(GatewayError, ModelUnavailableError):
    """The provider could not be reached or could not answer now; `retry_after_s` is its own advice, if any."""

    retryable = True

    def __init__(
        self, where: str, reason: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        wait = "" if retry_after_s is None else f"; it asks to wait {retry_after_s:g} s"
        super().__init__(f"{where} is not available: {reason}{wait}")
        self.where = where
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


class ProviderRefusedError(GatewayError, ModelRefusedError):
    """The provider refused the request; `reason` is in its own words."""

    def __init__(self, where: str, reason: str, *, status: int | None = None) -> None:
        super().__init__(f"{where} refused the request: {reason}")
        self.where = where
        self.reason = reason
        self.status = status


class CredentialsError(ProviderRefusedError):
    """The provider did not accept the key; `setting` names where the key is set, never the key."""

    def __init__(self, where: str, reason: str, *, setting: str, status: int | None = None) -> None:
        super().__init__(where, f"{reason}; check the key in {setting}", status=status)
        self.setting = setting


class UnknownRemoteModelError(ProviderRefusedError):
    """The provider has no model of that name at that address."""


class ConstraintUnsupportedError(GatewayError, ModelRefusedError):
    """The server cannot hold its output to a constraint of this kind."""

    def __init__(self, server: str, constraint: str) -> None:
        super().__init__(
            f"a server of kind {server!r} cannot hold its output to a {constraint} constraint; "
            "use a JSON schema, or a server that can (llama.cpp, vLLM) and name its kind"
        )
        self.server = server
        self.constraint = constraint


class WeightsError(GatewayError, ModelUnavailableError):
    """A weight file cannot be used; the message says why and what to do."""

    retryable = False

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(f"the weights {path} cannot be used: {reason}; {advice}")
        self.path = path
        self.reason = reason


class MissingExtraError(GatewayError, ModelUnavailableError):
    """The wheel of a local engine is not installed."""

    retryable = False

    def __init__(self, distribution: str, extra: str) -> None:
        super().__init__(
            f"{distribution!r} is not installed; it comes with agent-gateway[{extra}], or by `pip install {distribution}`"
        )
        self.distribution = distribution
        self.extra = extra


class UnknownModelError(GatewayError, ConfigurationError):
    """The catalog knows no model of that name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no model {name!r}; known are: {', '.join(known)}")
        self.name = name
        self.known = known


class UnknownServerError(GatewayError, ConfigurationError):
    """There is no such kind of server."""

    def __init__(self, server: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no kind of server {server!r}; known are: {', '.join(known)}")
        self.server = server
        self.known = known
