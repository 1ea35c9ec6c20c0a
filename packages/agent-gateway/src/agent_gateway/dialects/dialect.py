"""What every wire format can do: a request to bytes, and bytes to typed events. Pure: no I/O, no clock."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest
from agent_core.messages import FinishReason
from agent_gateway.compat import COMPATIBLE, Compat, Traits
from agent_gateway.dialects.tool_slots import NewId
from agent_gateway.failures import Target


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """To which model a request goes, and what is known of it and its server."""

    model: str
    compat: Compat = COMPATIBLE
    traits: Traits = Traits()
    reply_tokens: int = 4_096
    """The longest reply, for formats that must be told one."""
    stream: bool = True


class WireRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as bytes."""

    path: str
    """What comes behind the base URL."""
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    """Besides those of `Dialect.headers`."""


class ReplyDecoder(ABC):
    """Decodes one reply."""

    __slots__ = ()

    @abstractmethod
    def feed(self, data: bytes) -> list[Delta | Completion]:
        """Take the data of one server-sent event; returns what it adds, the `Completion` last if this was the end.

        Raises:
            ModelError: it holds an error, or is none of the format.
        """

    @abstractmethod
    def take(self, data: bytes) -> list[Delta | Completion]:
        """Take a whole reply; its completion comes by `finish`.

        Raises:
            ModelError: it holds an error, or is none of the format.
        """

    @abstractmethod
    def finish(self) -> Completion:
        """The completion of what came.

        Raises:
            BrokenReplyError: it broke off before its end.
        """


class Dialect(ABC):
    """One wire format."""

    name: str
    """As `Reasoning.origin` and `Opaque.origin` have it."""

    @abstractmethod
    def headers(self, api_key: str) -> dict[str, str]:
        """What goes with every request; an empty key is left out."""

    @abstractmethod
    def encode(self, request: ModelRequest, wiring: Wiring) -> WireRequest:
        """`request` as the provider reads it.

        Raises:
            ConstraintUnsupportedError: it cannot hold its output to such a constraint.
        """

    @abstractmethod
    def decoder(
        self, target: Target, *, names: Mapping[str, str] | None = None, new_id: NewId | None = None
    ) -> ReplyDecoder:
        """For the reply to one request; `names` leads from the names of tools on the wire to ours."""


def random_id() -> str:
    """An id for a call that the provider gave none."""
    return f"call_{secrets.token_hex(12)}"


def agreed(reason: FinishReason, *, calls: bool, refused: bool) -> FinishReason:
    """`reason` as it must be beside what was said.

    Many servers say `stop` with tool calls; `tool_calls` without a call would leave a run waiting for none.
    """
    if refused:
        return FinishReason.CONTENT_FILTER
    if calls and reason is FinishReason.STOP:
        return FinishReason.TOOL_CALLS
    if not calls and reason is FinishReason.TOOL_CALLS:
        return FinishReason.STOP
    return reason
