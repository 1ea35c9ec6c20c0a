"""From a model's name to a model: `connect("anthropic:claude-sonnet-4-5")`, `connect("local")`."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from agent_core.chat import ModelProfile, ToolMode
from agent_gateway.client import HttpChatModel
from agent_gateway.compat import COMPATS, ConstraintField
from agent_gateway.dialects.dialect import Dialect
from agent_gateway.engines.local import LOCAL_NAMES, LocalModel, LocalSettings, local_model
from agent_gateway.errors import UnknownModelError
from agent_gateway.families import family_of, remote_profile
from agent_gateway.providers import PROVIDERS, DialectName, Provider
from agent_gateway.transport import Timeouts, Transport
from agent_gateway.weights import OnProgress

KNOWN = (
    *LOCAL_NAMES,
    *(f"{name}:NAME" for name in PROVIDERS),
)
"""The names that `connect` takes, for people to read."""


def connect(
    name: str = "local",
    *,
    api_key: str | None = None,
    api_key_setting: str = "",
    base_url: str | None = None,
    dialect: DialectName | None = None,
    server: str | None = None,
    transport: Transport | None = None,
    timeouts: Timeouts | None = None,
    streaming: bool = True,
    headers: Mapping[str, str] | None = None,
    models_folder: Path | None = None,
    threads: int | None = None,
    slots: int = 1,
    tool_mode: ToolMode | None = None,
    context_tokens: int | None = None,
    reply_tokens: int | None = None,
    vision: bool | None = None,
    on_progress: OnProgress | None = None,
) -> "LocalModel | HttpChatModel":
    """The model called `name`; nothing is loaded or asked before its first use.

    Of a model behind a provider: `api_key` is else looked for in the environment, by the name that the provider's own
    tools use; `api_key_setting` is what errors call the place of the key. `base_url` is the address of another server
    that speaks the same format, `dialect` the format where it is not the provider's usual one, and `server` what kind
    of server it is (`compat.COMPATS`). `streaming=False` asks for whole replies. `headers` go with every
    request, such as those that a proxy in between wants.

    Of a model in this process: `models_folder` holds the weights, `threads` are used to decode (None: all cores but
    one), `slots` requests are decoded at once, `on_progress` is told in words what a slow step does.

    `tool_mode`, `context_tokens`, `reply_tokens` and `vision` (whether it looks at images) replace what the profile says.

    Raises:
        UnknownModelError: no such name; lists those that are known.
        UnknownServerError: `server` is no kind that is known.
        WeightsError: the path of a local model is no whole GGUF file.
        MissingExtraError: a local model without the extra of its engine.
    """
    sizes = {"context_tokens": context_tokens, "reply_tokens": reply_tokens}
    changes = {"tool_mode": tool_mode, "vision": vision, **sizes}
    here = LocalSettings(models_folder=models_folder, threads=threads, slots=slots, on_progress=on_progress)
    if (model := local_model(name, here, profiled=partial(_changed, changes=changes))) is not None:
        return model
    build = partial(
        HttpChatModel, transport=transport, timeouts=timeouts, streaming=streaming, headers=headers
    )
    asked = _Asked(base_url=base_url, dialect=dialect, server=server)
    return _remote(name, build, asked, changes, key=(api_key, api_key_setting))


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to ask, as far as the caller says so."""

    base_url: str | None
    dialect: DialectName | None
    server: str | None


def _remote(
    name: str,
    build: Callable[..., HttpChatModel],
    asked: _Asked,
    changes: dict[str, ToolMode | int | None],
    *,
    key: tuple[str | None, str],
) -> HttpChatModel:
    kind, _, rest = name.partition(":")
    provider = PROVIDERS.get(kind)
    if provider is None or not rest:
        raise UnknownModelError(name, KNOWN)
    url = asked.base_url or provider.base_url
    own = url.rstrip("/") == provider.base_url
    given, setting = key
    found = _key(provider, own=own) if given is None else (given, "api_key")
    spoken = asked.dialect or (provider.dialect if own else provider.compatible or provider.dialect)
    kind_of_server = asked.server or (provider.server if own else "") or None
    return build(
        rest,
        dialect=_dialect(spoken),
        base_url=url,
        api_key=found[0],
        api_key_setting=setting or found[1],
        provider=kind,
        server=kind_of_server,
        profile=_changed(_held_by(remote_profile(name), kind_of_server), changes),
        traits=family_of(name).traits,
    )


def _held_by(profile: ModelProfile, server: str | None) -> ModelProfile:
    """What the constrained and the routed mode may ask of a server of this kind."""
    compat = COMPATS.get(server or "")
    if compat is None:
        return profile
    limits = msgspec.structs.replace(profile.schema_limits, union_root=not compat.strict_schema)
    grammars = compat.grammar is not ConstraintField.NONE
    return msgspec.structs.replace(profile, grammars=grammars, schema_limits=limits)


def _key(provider: Provider, *, own: bool) -> tuple[str, str]:
    """The provider's key in the environment, and what errors call its place. Another server is never sent it."""
    if not own or not provider.key_names:
        return "", "api_key"
    for name in provider.key_names:
        if value := os.environ.get(name, ""):
            return value, name
    return "", provider.key_names[0]


def _dialect(name: DialectName) -> Dialect:
    """The codec of a format; the others are not loaded."""
    match name:
        case "openai_chat":
            from agent_gateway.dialects.openai_chat import OpenAIChat  # noqa: PLC0415

            return OpenAIChat()
        case "openai_responses":
            from agent_gateway.dialects.openai_responses import OpenAIResponses  # noqa: PLC0415

            return OpenAIResponses()
        case "anthropic_messages":
            from agent_gateway.dialects.anthropic_messages import AnthropicMessages  # noqa: PLC0415

            return AnthropicMessages()
        case "gemini":
            from agent_gateway.dialects.gemini import Gemini  # noqa: PLC0415

            return Gemini()
        case _:
            assert_never(name)


def _changed(profile: ModelProfile, changes: dict[str, ToolMode | int | None]) -> ModelProfile:
    given = {field: value for field, value in changes.items() if value is not None}
    return msgspec.structs.replace(profile, **given) if given else profile
