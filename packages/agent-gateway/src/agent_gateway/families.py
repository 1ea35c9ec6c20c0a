"""What is known of remote models, by family: sizes, senses, and what their requests must look like. Data, of 22
November 2026, from the providers' model pages and from recorded exchanges; a model that is not here gets the defaults,
and whoever opens one may say better.
"""

from fnmatch import fnmatchcase

import msgspec

from agent_core.chat import ModelProfile
from agent_gateway.compat import Thinking, Traits


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Models that are alike."""

    names: tuple[str, ...]
    """Patterns of `provider:name`, as a shell has them."""
    context_tokens: int = 128_000
    reply_tokens: int = 4_096
    """How much of the context to leave for a reply: most models could write more."""
    vision: bool = False
    traits: Traits = Traits()


_OPENAI_EFFORTS = ("minimal", "low", "medium", "high")
_THINKS_BY_WORD = Traits(thinking=Thinking.EFFORT)

FAMILIES: tuple[Family, ...] = (
    Family(
        names=("openai:gpt-6.*",),
        context_tokens=1_050_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(
            thinking=Thinking.EFFORT, efforts=("low", "medium", "high", "xhigh", "max"), sampling=False
        ),
    ),
    Family(
        names=("openai:gpt-6*", "openai:gpt-5.6*"),
        context_tokens=1_050_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(
            thinking=Thinking.EFFORT,
            efforts=("none", "low", "medium", "high", "xhigh", "max"),
            sampling=False,
        ),
    ),
    Family(
        names=("openai:gpt-5.[1-9]*",),
        context_tokens=400_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(
            thinking=Thinking.EFFORT, efforts=("none", "low", "medium", "high", "xhigh"), sampling=False
        ),
    ),
    Family(
        names=("openai:gpt-5*",),
        context_tokens=400_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.EFFORT, efforts=_OPENAI_EFFORTS, sampling=False),
    ),
    Family(
        names=("openai:o[0-9]*",),
        context_tokens=200_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.EFFORT, sampling=False),
    ),
    Family(names=("openai:gpt-4.1*",), context_tokens=1_047_576, reply_tokens=16_384, vision=True),
    Family(names=("openai:gpt-4o*",), reply_tokens=8_192, vision=True),
    Family(
        names=("anthropic:claude-opus-4-[6-9]*", "anthropic:claude-[a-z]*[a-z]-[5-9]*"),
        context_tokens=200_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(
            thinking=Thinking.ADAPTIVE, efforts=("low", "medium", "high", "xhigh"), system_turns=True
        ),
    ),
    Family(
        names=("anthropic:claude-*-4*", "anthropic:claude-3-7*"),
        context_tokens=200_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.BUDGET),
    ),
    Family(
        names=("anthropic:claude-3*",),
        context_tokens=200_000,
        vision=True,
        traits=Traits(json_schema=False),
    ),
    Family(
        names=("gemini:gemini-3*",),
        context_tokens=1_048_576,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.EFFORT, efforts=_OPENAI_EFFORTS, sealed_calls=True),
    ),
    Family(
        names=("gemini:gemini-2.5*",),
        context_tokens=1_048_576,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.BUDGET),
    ),
    Family(names=("gemini:*",), context_tokens=1_048_576, reply_tokens=8_192, vision=True),
    Family(names=("deepseek:*",), reply_tokens=8_192),
    Family(names=("*:*gpt-oss*",), context_tokens=131_072, traits=_THINKS_BY_WORD),
    Family(names=("groq:qwen/qwen3*",), context_tokens=131_072, traits=Traits(thinking=Thinking.EFFORT)),
    Family(
        names=("xai:grok-4.[5-9]*",),
        context_tokens=500_000,
        reply_tokens=16_384,
        vision=True,
        traits=_THINKS_BY_WORD,
    ),
    Family(
        names=("xai:grok-4.3*",),
        context_tokens=1_000_000,
        reply_tokens=16_384,
        vision=True,
        traits=Traits(thinking=Thinking.EFFORT, efforts=("none", "low", "medium", "high")),
    ),
    Family(names=("xai:grok-*",), context_tokens=256_000, traits=Traits(thinking=Thinking.NONE)),
    Family(names=("*",)),
)
"""The first that fits counts."""


_MAKERS = {"google": "gemini", "mistralai": "mistral", "x-ai": "xai"}


def family_of(name: str) -> Family:
    """The family of `provider:name`. A model that OpenRouter passes on is what its own provider has."""
    if name.startswith("openrouter:") and "/" in name:
        maker, _, model = name.removeprefix("openrouter:").partition("/")
        name = f"{_MAKERS.get(maker, maker)}:{model.replace('.', '-') if maker == 'anthropic' else model}"
    return next(one for one in FAMILIES if any(fnmatchcase(name, pattern) for pattern in one.names))


def remote_profile(name: str) -> ModelProfile:
    """What is known of the model `provider:name` before it is asked."""
    family = family_of(name)
    return ModelProfile(
        name=name,
        context_tokens=family.context_tokens,
        reply_tokens=family.reply_tokens,
        vision=family.vision,
        reasoning=family.traits.thinking is not Thinking.NONE,
    )
