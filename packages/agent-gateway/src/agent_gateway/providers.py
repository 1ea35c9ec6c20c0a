"""Who offers models, as data: where each is asked, in which wire format, with which key."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

DialectName: TypeAlias = Literal["openai_chat", "openai_responses", "anthropic_messages", "gemini"]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider."""

    name: str
    base_url: str
    key_names: tuple[str, ...] = ()
    """Where its own tools look for the key in the environment, first come first served."""
    dialect: DialectName = "openai_chat"
    server: str = ""
    """What it expects beyond the format, in `compat.COMPATS`; empty: it is asked when that matters."""
    compatible: DialectName | None = None
    """The format of other servers that are reached by this name and a `base_url`; None: `dialect`."""


_ALL = (
    # OpenAI's newer models call tools and think at once in the newer format alone; others speak the older one.
    Provider(
        name="openai",
        base_url="https://api.openai.com/v1",
        key_names=("OPENAI_API_KEY",),
        dialect="openai_responses",
        server="openai",
        compatible="openai_chat",
    ),
    Provider(
        name="anthropic",
        base_url="https://api.anthropic.com/v1",
        key_names=("ANTHROPIC_API_KEY",),
        dialect="anthropic_messages",
    ),
    Provider(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_names=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        dialect="gemini",
    ),
    Provider(
        name="groq", base_url="https://api.groq.com/openai/v1", key_names=("GROQ_API_KEY",), server="groq"
    ),
    Provider(
        name="deepseek",
        base_url="https://api.deepseek.com",
        key_names=("DEEPSEEK_API_KEY",),
        server="deepseek",
    ),
    Provider(
        name="mistral", base_url="https://api.mistral.ai/v1", key_names=("MISTRAL_API_KEY",), server="mistral"
    ),
    Provider(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_names=("OPENROUTER_API_KEY",),
        server="openrouter",
    ),
    Provider(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_names=("CEREBRAS_API_KEY",),
        server="cerebras",
    ),
    Provider(name="xai", base_url="https://api.x.ai/v1", key_names=("XAI_API_KEY",), server="compatible"),
    Provider(name="ollama", base_url="http://127.0.0.1:11434/v1", server="ollama"),
    Provider(name="vllm", base_url="http://127.0.0.1:8000/v1", server="vllm"),
)
PROVIDERS: Mapping[str, Provider] = MappingProxyType({provider.name: provider for provider in _ALL})
"""By name: what stands before the colon of a model's name."""
