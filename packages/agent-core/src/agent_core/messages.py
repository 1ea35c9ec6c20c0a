"""What a conversation is made of: messages and their parts, token usage, finish reasons.

Knows no wire format; agent-gateway's dialects translate to and from these words.
"""

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from agent_core.media import File as File  # noqa: PLC0414 (parts of messages, of which most people know)
from agent_core.media import Image as Image  # noqa: PLC0414 (parts of messages, of which most people know)
from agent_core.media import Opaque as Opaque  # noqa: PLC0414 (parts of messages, of which most people know)
from agent_core.tools import ToolCall, ToolResult

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class FinishReason(StrEnum):
    """Why a model stopped (OpenTelemetry GenAI `gen_ai.response.finish_reasons`)."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    """The provider cut it off, or the model declined; then the text says so (`Text.refusal`)."""
    CANCELLED = "cancelled"
    PAUSED = "paused"
    """The provider stopped in the middle of its own work: sent back as it is, the message is gone on with."""
    ERROR = "error"
    """The model broke off or wrote what the provider could not read."""


class Text(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="text"
):
    """Plain text, written by a person or a model."""

    text: str
    refusal: bool = False
    """True: with these words the model declined."""
    phase: str = ""
    """What the text is for, where the provider says so: a `commentary` on the way, or the `final_answer`."""
    signature: str = ""
    """The provider's seal of this text, to be sent back unchanged."""


class Reasoning(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="reasoning"
):
    """What a model thought before it answered; `signature` is the vendor's seal, to be sent back unchanged."""

    text: str
    signature: str = ""
    """A seal of the text, or the thoughts themselves in a form that only the provider reads."""
    redacted: bool = False
    """True: the provider keeps the thoughts to itself; there is a seal and no text."""
    summary: bool = False
    """True: the text is the provider's summary of the thoughts."""
    item_id: str = ""
    """The provider's own name of the thought; parts that share one belong together."""
    origin: str = ""
    """The wire format that the seal is of: others leave it out, a seal means nothing to them."""


Part: TypeAlias = Text | Reasoning | ToolCall | ToolResult | Image | File | Opaque
"""One piece of a message."""


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One message of a conversation: who speaks, and the parts in order."""

    role: Role
    parts: tuple[Part, ...]
    cache: bool = False
    """True: the prompt up to here will come again, so a provider that must be told is to keep it."""
    note: bool = False
    """True: no person wrote it, though it stands where a person's messages do: it says why an answer was sent back."""

    @property
    def text(self) -> str:
        """The text parts, joined; reasoning, calls and results are left out."""
        text = ""
        for part in self.parts:  # there is mostly one: a list of texts would cost more than the text
            if isinstance(part, Text):
                text += part.text
        return text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in the order in which the model gave them."""
        calls: tuple[ToolCall, ...] = ()
        for part in self.parts:  # mostly one or none of them
            if isinstance(part, ToolCall):
                calls = (*calls, part)
        return calls

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool results, in call order."""
        return tuple([part for part in self.parts if isinstance(part, ToolResult)])


_SHORT = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cached_input_tokens": "cached_input",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}
"""Names in a journal, where they stand in every turn."""


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, rename=_SHORT):
    """Tokens spent, as disjoint classes: a cached, written or reasoning token is counted in its own field only."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    """Read from the provider's prompt cache."""
    cache_write_tokens: int = 0
    """Input that the provider wrote to its prompt cache and bills for it."""
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    """None means unknown, never free."""

    def __add__(self, other: "Usage") -> "Usage":
        """The sum, class by class; a cost is known only if both are, or if the unknown side spent nothing."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost_usd=None if self.cost_usd is other.cost_usd is None else _sum_cost(self, other),
        )

    @property
    def total_tokens(self) -> int:
        """All tokens, of every class."""
        return self.prompt_tokens + self.output_tokens + self.reasoning_tokens

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the prompt: plain, read from a cache and written to one."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens


def _sum_cost(a: Usage, b: Usage) -> float | None:
    if a.cost_usd is None:
        return b.cost_usd if a.total_tokens == 0 else None
    if b.cost_usd is None:
        return a.cost_usd if b.total_tokens == 0 else None
    return a.cost_usd + b.cost_usd


def system(text: str) -> Message:
    """A system message of one text."""
    return Message(role="system", parts=(Text(text=text),))


def user(text: str) -> Message:
    """A user message of one text."""
    return Message(role="user", parts=(Text(text=text),))


def assistant(text: str) -> Message:
    """An assistant message of one text."""
    return Message(role="assistant", parts=(Text(text=text),))
