"""The error tree of agent-gateway. Each leaf is also one of the model errors that the `ChatModel` port promises,
so a caller who knows only agent-core handles them all.

GatewayError
├── ProviderUnavailableError    unreachable or overloaded; may carry `retry_after_s`
│   ├── RateLimitedError        too many requests or tokens for now
│   ├── QuotaExhaustedError     nothing left to pay with: waiting does not help
│   ├── ProviderTimeoutError    it took too long; says in which phase
│   ├── BrokenReplyError        the reply broke off, or is none of the format
│   ├── ReplyTooLargeError      the reply is larger than was allowed
│   └── CertificateError        nobody vouches for the server
├── ProviderRefusedError        the provider says that the request is wrong
│   ├── CredentialsError        no key, a wrong key, or a key without the right
│   └── UnknownRemoteModelError the provider has no such model, or the base URL is no such service
├── ConstraintUnsupportedError  the server has no way to hold its output to this kind of constraint
├── DeadlineExceededError       the request's deadline passed
├── RoutesExhaustedError        no route of a router could answer
├── BudgetExceededError         a tenant or a key has spent its budget
├── UnknownPriceError           a budget is in money, and what the model costs is not known
├── PriceTableError             a file of prices cannot be used
├── RecordingError              a recording has no such exchange, or is none
├── WeightsError                a weight file is missing, truncated or not one
├── MissingExtraError           a local engine's wheel is not installed
├── UnknownModelError           a model name that the catalog does not know
└── UnknownServerError          a kind of server that is not in `compat.COMPATS`
"""

from pathlib import Path
from typing import Literal, TypeAlias

from agent_core.errors import (
    AgentError,
    ConfigurationError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
)

TimeoutPhase: TypeAlias = Literal["connect", "first_byte", "between", "total"]
"""Waiting for a connection, for the reply to begin, for its next piece, or for all of it."""


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


class RateLimitedError(ProviderUnavailableError):
    """Too many requests or tokens for now; `retry_after_s` where the provider said it."""


class QuotaExhaustedError(ProviderUnavailableError):
    """The account has nothing left to pay with."""

    retryable = False


class ProviderTimeoutError(ProviderUnavailableError):
    """The provider took too long."""

    def __init__(self, where: str, reason: str, *, phase: TimeoutPhase) -> None:
        super().__init__(where, f"{reason} (timeout: {phase})")
        self.phase = phase


class BrokenReplyError(ProviderUnavailableError):
    """The reply broke off before its end, or what came is no reply of the format."""


class ReplyTooLargeError(ProviderUnavailableError):
    """The reply is larger than was allowed; `limit_bytes` is how much that is."""

    retryable = False

    def __init__(self, where: str, what: str, limit_bytes: int) -> None:
        super().__init__(
            where, f"{what} is larger than {limit_bytes:,} bytes; raise the limit if that is right"
        )
        self.limit_bytes = limit_bytes


class CertificateError(ProviderUnavailableError):
    """The server's certificate could not be verified; nothing was sent to it."""

    retryable = False

    def __init__(self, where: str) -> None:
        reason = (
            "its certificate could not be verified; check the address, and SSL_CERT_FILE for one of your own"
        )
        super().__init__(where, reason)


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


class DeadlineExceededError(GatewayError, ModelUnavailableError):
    """The request's deadline passed before its reply was complete."""

    retryable = False

    def __init__(self, where: str, late_s: float) -> None:
        super().__init__(
            f"{where} did not answer before the deadline, which passed {late_s:.3f} s ago; allow more time"
        )
        self.where = where
        self.late_s = late_s


class RoutesExhaustedError(GatewayError, ModelUnavailableError):
    """Every route of a router was tried or could not be; `errors` says why, route by route."""

    retryable = True

    def __init__(
        self,
        errors: tuple[tuple[str, ModelError], ...],
        *,
        hopeful: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        reasons = "; ".join(f"{name}: {error}" for name, error in errors)
        wait = "" if retry_after_s is None else f"; try again in {retry_after_s:.1f} s"
        super().__init__(f"no route could answer{wait}: {reasons or 'each is over its limits'}")
        self.errors = errors
        self.retryable = hopeful  # type: ignore[misc]  # here it depends on what the routes said
        self.retry_after_s = retry_after_s


class BudgetExceededError(GatewayError, ModelRefusedError):
    """A tenant or a key does not have enough of its budget left for the request."""

    def __init__(self, kind: str, name: str, left: str, wanted: str) -> None:
        super().__init__(
            f"the budget of {kind} {name!r} is too small for this request: {left} and it may take {wanted}; "
            "raise the budget, wait for its next period, or ask for fewer tokens"
        )
        self.kind = kind
        self.name = name


class UnknownPriceError(GatewayError, ModelRefusedError):
    """A budget is in money and the model's price is not known, so that nobody could hold the one to the other."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"the budget of {kind} {name!r} is in USD and what the model costs is not known; "
            "add the model to a file of prices, or give the budget in tokens"
        )
        self.kind = kind
        self.name = name


class PriceTableError(GatewayError, ConfigurationError):
    """A file of prices cannot be read or is not in the form of `prices.json`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the prices in {path} cannot be used: {reason}")
        self.path = path
        self.reason = reason


class RecordingError(GatewayError, ConfigurationError):
    """A recording cannot be read, or holds no reply to a request; record it again."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the recording {path} cannot be used: {reason}; delete it and record it again")
        self.path = path
        self.reason = reason


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
