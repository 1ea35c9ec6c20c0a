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
    strict_schema: bool = False
    """Whether `strict: true` is asked for with a JSON schema; without it OpenAI treats the schema as a hint. Its
    strict mode refuses schemas whose objects do not list every property as required and forbid others."""
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
    Compat(name="deepseek", json_schema=ConstraintField.NONE),
    Compat(name="mistral", json_schema=ConstraintField.RESPONSE_FORMAT, stream_usage=False),
    Compat(name="ollama"),
)
COMPATS: Mapping[str, Compat] = MappingProxyType({compat.name: compat for compat in _ALL})
"""By the kind of server."""

OPENAI = COMPATS["openai"]
COMPATIBLE = COMPATS["compatible"]
LLAMA_CPP = COMPATS["llama.cpp"]

OWNERS: Mapping[str, str] = MappingProxyType({"llamacpp": "llama.cpp", "vllm": "vllm", "library": "ollama"})
"""What servers put into `owned_by` of their model list -> the kind of server (seen November 2026)."""
