"""What is asked of a chat model and what it streams back: the words of the `ChatModel` port.

Knows no wire format. A constraint travels in the request; the gateway makes each engine keep to it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Usage
from agent_core.tools import ToolSpec


class ToolMode(StrEnum):
    """How a model is offered tools: a property of its profile."""

    NATIVE = "native"
    """In the vendor's own tool format."""
    CONSTRAINED = "constrained"
    """Its output is held to a JSON schema built from the tools."""
    ROUTED = "routed"
    """For the smallest: similarity proposes the tool, the model fills one argument at a time."""


class SchemaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a JSON schema that holds a model's output may ask of its engine."""

    string_chars: int = 400
    """Given to texts that say no length themselves: a weak model writes until something stops it."""
    items: int = 16
    """Given to lists that say no length themselves."""
    size_bytes: int = 24_000
    """Of a schema as JSON. Tools that are over it are not offered, the last ones first."""
    tools: int = 24
    """Offered in one schema, at most; engines build a grammar of them, and weak models lose their way."""
    union_root: bool = True
    """False: the engine wants an object at the root (OpenAI and who checks as it does); the union goes one down."""


class ModelProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model before it is asked."""

    name: str
    """As `provider:name`."""
    tool_mode: ToolMode = ToolMode.NATIVE
    context_tokens: int = 128_000
    """Tokens of prompt and reply together."""
    reply_tokens: int = 4_096
    """Tokens to leave for the reply when a window is filled."""
    schema_limits: SchemaLimits = SchemaLimits()
    grammars: bool = True
    """False: a reply can be held to a JSON schema alone, neither to a choice nor to a grammar."""
    vision: bool = False
    """Whether it looks at images."""
    reasoning: bool = False
    """Whether it can think before it answers."""


class JsonSchema(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """Hold the reply to a JSON schema."""

    schema: JsonObject
    name: str = "reply"


class Choice(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="choice"):
    """Hold the reply to one of these texts, without quotes around it."""

    values: tuple[str, ...]
    log_weights: tuple[float, ...] = ()
    """What is known before the model is asked: for each value a number <= 0 that an engine which compares likelihoods
    adds to the value's own; others ignore it. Empty: nothing is known."""


class Grammar(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="grammar"):
    """Hold the reply to a grammar in llama.cpp's GBNF, whose start rule is `root`."""

    gbnf: str


Constraint: TypeAlias = JsonSchema | Choice | Grammar


class NamedTool(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="named_tool"):
    """The model is to call this tool."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "required", "none"] | NamedTool
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "max"]
"""How much to think before answering; a model that has fewer steps takes the nearest."""


class CallContext(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """For whom a model is asked, and until when: what routing, budgets and caches go by. No model reads it."""

    tenant: str = ""
    key_id: str = ""
    """The name of the API key that the caller came with, never the key."""
    session_id: str = ""
    """Requests of one session are kept together where a provider's prompt cache gains by it."""
    idempotency_key: str = ""
    """The same for every attempt of one request."""
    deadline: float | None = None
    """Seconds since the epoch, by the clock of whoever waits; None: no end."""


class ModelRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One question to a model."""

    messages: Sequence[Message]
    raw: bool = False
    """True: the model continues the text of the messages as it stands, without a chat template. An engine that cannot
    do so asks in chat."""
    tools: Sequence[ToolSpec] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    """False: at most one call in a reply. None: as the provider does by itself."""
    constraint: Constraint | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    repeat_penalty: float | None = None
    """Above 1 discourages repetition; engines without such a setting ignore it."""
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    effort: Effort | None = None
    reasoning_tokens: int | None = None
    """At most so many tokens of thought, where that can be said; elsewhere `effort` is taken from it."""
    cache_ttl_s: int | None = None
    """Keep the prompt for so long, for the next request that begins with it; None: as the provider does by itself."""
    extra: JsonObject = {}
    """Fields of the provider's own, sent as they stand. What is in here ties the request to that provider."""
    context: CallContext = CallContext()


class TextDelta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="text.delta"):
    """More of the answer's text."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="reasoning.delta"):
    """More of what the model thinks before it answers."""

    text: str


class ToolCallDelta(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="tool_call.delta"
):
    """More of one tool call, for showing only: the whole call is in the completion."""

    index: int
    name: str = ""
    arguments: str = ""
    """A piece of the arguments' JSON text."""


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta


class Completion(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The whole reply; the last item of every stream."""

    message: Message
    model: str
    """The model that answered, as the provider names it."""
    finish_reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()
    stop_detail: str = ""
    """The provider's own word for why it stopped."""
    response_id: str = ""
    """The provider's own name of the reply."""
