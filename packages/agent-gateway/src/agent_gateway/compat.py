"""How servers that speak OpenAI Chat Completions differ, as data: the dialect reads these fields and nothing else."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class ConstraintField(StrEnum):
    """Where in the request a constraint goes."""

    NONE = "none"
    """The server has no such thing."""
    RESPONSE_FORMAT = "response_format"
    """OpenAI: `response_format: {type: json_schema}`."""
    GBNF = "grammar"
    """llama.cpp: a GBNF text in `grammar`."""
    STRUCTURED_OUTPUTS = "structured_outputs"
    """vLLM since 0.12: `structured_outputs: {choice | grammar | json}`."""
    GUIDED = "guided"
    """vLLM before 0.12, SGLang's older servers: `guided_choice`, `guided_grammar`, `guided_json`."""


class Thinking(StrEnum):
    """How a model is told how much to think."""

    NONE = "none"
    """It cannot be told, or does not think."""
    EFFORT = "effort"
    """By a word."""
    BUDGET = "budget"
    """By a number of tokens."""
    ADAPTIVE = "adaptive"
    """By a word, beside a switch that turns thinking on."""


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What one family of models expects of a request."""

    thinking: Thinking = Thinking.NONE
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """The words for how much to think, the least first."""
    sampling: bool = True
    """Whether it takes `temperature`, `top_p` and `top_k`; else they are left out, since it would refuse them."""
    json_schema: bool = True
    """Whether its output can be held to a JSON schema."""
    system_turns: bool = False
    """Whether a system message may stand between the others."""
    sealed_calls: bool = False
    """Whether it refuses calls in the history that it has not sealed."""


class Compat(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of server expects."""

    name: str
    max_tokens_field: str = "max_tokens"
    json_schema: ConstraintField = ConstraintField.RESPONSE_FORMAT
    choice: ConstraintField = ConstraintField.NONE
    grammar: ConstraintField = ConstraintField.NONE
    repeat_penalty_field: str = ""
    """Empty: the server has no such setting, and it is left out."""
    stream_usage: bool = True
    """Whether `stream_options: {include_usage: true}` is understood."""
    reasoning_field: str = ""
    """The field in which an assistant message's reasoning is sent back; empty: it is left out."""
    reasoning_required: bool = False
    """Whether it must be there beside tool calls, be it empty: a message that another model wrote has none."""
    reasoning_details: bool = False
    """Whether reasoning comes, and is sent back, in `reasoning_details` too, with its seals."""
    strict_schema: bool = False
    """Whether `strict: true` is asked for with a JSON schema; without it OpenAI treats the schema as a hint. Its
    strict mode refuses schemas whose objects do not list every property as required and forbid others."""
    effort_field: str = "reasoning_effort"
    """Where a model that thinks is told how much; empty: it cannot be told."""
    files: bool = True
    """Whether a message may hold documents and sounds; images go to every server that has a model for them."""
    extra: Mapping[str, object] = MappingProxyType({})
    """Sent with every request, as it stands."""


_ALL = (
    Compat(name="openai", max_tokens_field="max_completion_tokens", strict_schema=True),
    Compat(name="compatible"),
    Compat(
        name="llama.cpp",
        choice=ConstraintField.GBNF,
        grammar=ConstraintField.GBNF,
        repeat_penalty_field="repeat_penalty",
    ),
    Compat(
        name="vllm",
        choice=ConstraintField.STRUCTURED_OUTPUTS,
        grammar=ConstraintField.STRUCTURED_OUTPUTS,
        repeat_penalty_field="repetition_penalty",
    ),
    Compat(
        name="vllm<0.12",
        json_schema=ConstraintField.GUIDED,
        choice=ConstraintField.GUIDED,
        grammar=ConstraintField.GUIDED,
        repeat_penalty_field="repetition_penalty",
    ),
    Compat(
        name="deepseek",
        json_schema=ConstraintField.NONE,
        reasoning_field="reasoning_content",
        reasoning_required=True,
        files=False,
    ),
    Compat(name="mistral", stream_usage=False),
    Compat(name="ollama", files=False),
    Compat(name="groq", max_tokens_field="max_completion_tokens", reasoning_field="reasoning", files=False),
    Compat(
        name="cerebras", max_tokens_field="max_completion_tokens", reasoning_field="reasoning", files=False
    ),
    Compat(
        name="openrouter",
        reasoning_field="reasoning",
        reasoning_details=True,
        extra=MappingProxyType({"usage": {"include": True}}),
    ),
)
COMPATS: Mapping[str, Compat] = MappingProxyType({compat.name: compat for compat in _ALL})
"""By the kind of server."""

OPENAI = COMPATS["openai"]
COMPATIBLE = COMPATS["compatible"]
LLAMA_CPP = COMPATS["llama.cpp"]

OWNERS: Mapping[str, str] = MappingProxyType({"llamacpp": "llama.cpp", "vllm": "vllm", "library": "ollama"})
"""What servers put into `owned_by` of their model list -> the kind of server (seen November 2026)."""
