"""The shapes of Chat Completions replies, as wide as servers of all kinds make them: every field may be missing or
null, and what nobody reads is not looked at.
"""

from typing import Any, cast

import msgspec

from agent_core.messages import Usage

Count = float | None
"""A number of tokens; some servers write it as 12.0."""


class Function(msgspec.Struct):
    """What is called."""

    name: str | None = None
    arguments: Any = None
    """Text, or the object itself."""


class Call(msgspec.Struct):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: Any = None
    function: Function | None = None
    extra_content: Any = None
    """Gemini behind this format: `{"google": {"thought_signature": ...}}`."""

    @property
    def signature(self) -> str:
        """The provider's seal of the call."""
        try:
            return str(self.extra_content["google"]["thought_signature"])
        except (TypeError, KeyError):
            return ""


class Said(msgspec.Struct):
    """A `message`, or a `delta` of one."""

    content: str | list[Any] | dict[str, Any] | None = None
    """Text, or a list of parts; Cloudflare: the object itself where JSON was asked for."""
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    """OpenRouter: with the seals of the thoughts."""
    refusal: str | None = None
    images: list[Any] | None = None
    audio: Any = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


class Details(msgspec.Struct):
    """The classes of tokens within a total."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None


def billed(cost: Any, ticks: Count) -> float | None:
    """The US dollars that a server says it charges, or None: OpenRouter gives `cost` as a number, Perplexity as an
    object with a total, xAI counts ten thousand million ticks to a dollar (docs.x.ai, cost tracking, November 2026).
    """
    if ticks is not None:
        return ticks / 10_000_000_000
    total = cast("dict[str, Any]", cost).get("total_cost") if isinstance(cost, dict) else cost
    return float(total) if isinstance(total, int | float) else None


class WireUsage(msgspec.Struct):
    """What was spent, as each of the servers names it."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Count = None  # DeepSeek
    cached_tokens: Count = None  # Moonshot
    cost: Any = None  # OpenRouter, Perplexity
    cost_in_usd_ticks: Count = None  # xAI

    def disjoint(self) -> Usage:
        """The wire's totals include cached, written and reasoning tokens; ours do not."""
        prompt, completion = int(self.prompt_tokens or 0), int(self.completion_tokens or 0)
        read, said = self.prompt_tokens_details or Details(), self.completion_tokens_details or Details()
        cached = int(read.cached_tokens or self.prompt_cache_hit_tokens or self.cached_tokens or 0)
        written = int(read.cache_write_tokens or 0)
        # Gemini behind this format counts its thoughts in the total alone.
        unnamed = max(0, int(self.total_tokens or 0) - prompt - completion)
        reasoning = int(said.reasoning_tokens or unnamed)
        # xAI alone counts reasoning beside the completion: its total says so.
        beside = reasoning > completion or self.total_tokens == prompt + completion + reasoning
        return Usage(
            input_tokens=max(0, prompt - cached - written),
            cached_input_tokens=cached,
            cache_write_tokens=written,
            output_tokens=completion if beside else completion - reasoning,
            reasoning_tokens=reasoning,
            cost_usd=billed(self.cost, self.cost_in_usd_ticks),
        )


class Choice(msgspec.Struct):
    """One answer; only one is ever asked for."""

    index: int | None = 0
    delta: Said | None = None
    message: Said | None = None
    text: str | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None  # Moonshot
    error: msgspec.Raw = msgspec.Raw()  # OpenRouter


class Groq(msgspec.Struct):
    """Where Groq puts the usage of a stream."""

    usage: WireUsage | None = None


class Reply(msgspec.Struct):
    """A whole reply, or one chunk of a stream."""

    id: Any = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    x_groq: Groq | None = None
    error: msgspec.Raw = msgspec.Raw()
