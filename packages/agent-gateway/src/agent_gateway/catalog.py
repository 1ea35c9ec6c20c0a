"""From a model's name to a model: `local:smollm2-135m`, `local:/path/to/model.gguf`, `openai:NAME`."""

from pathlib import Path

import msgspec

from agent_core.chat import ModelProfile, ToolMode
from agent_gateway.client import OPENAI_URL, OpenAIChatModel
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.errors import UnknownModelError
from agent_gateway.gguf import read_info
from agent_gateway.profiles import DEFAULT_LOCAL, EMBEDDED, gguf_profile, remote_profile
from agent_gateway.weights import OnProgress, find_weights

KNOWN = (*(f"local:{name}" for name in EMBEDDED), "local:/path/to/model.gguf", "openai:NAME")
"""The names that `open_model` takes, for people to read."""


def open_model(
    name: str = f"local:{DEFAULT_LOCAL}",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    api_key_setting: str = "api_key",
    server: str | None = None,
    models_folder: Path | None = None,
    threads: int | None = None,
    slots: int = 1,
    tool_mode: ToolMode | None = None,
    context_tokens: int | None = None,
    reply_tokens: int | None = None,
    on_progress: OnProgress | None = None,
) -> LlamaCppModel | OpenAIChatModel:
    """The model called `name`; nothing is loaded or asked before its first use.

    `base_url`, `api_key`, `api_key_setting` (what errors call the key) and `server` (a kind in `compat.COMPATS`)
    are for `openai:`; `models_folder`, `threads` (None: all cores but one), `slots` (requests decoded at once) and
    `on_progress` for `local:`. `tool_mode`, `context_tokens` and `reply_tokens` replace what the profile says.

    Raises:
        UnknownModelError: no such name; lists those that are known.
        WeightsError: `local:PATH` is no whole GGUF file.
        MissingExtraError: a local model without the extra `llama`.
    """
    kind, _, rest = name.partition(":")
    changes = {"tool_mode": tool_mode, "context_tokens": context_tokens, "reply_tokens": reply_tokens}
    if kind == "openai" and rest:
        profile = _changed(remote_profile(name), changes)
        return OpenAIChatModel(
            rest,
            base_url=base_url or OPENAI_URL,
            api_key=api_key,
            api_key_setting=api_key_setting,
            server=server,
            profile=profile,
        )
    if kind == "local" and (rest in EMBEDDED or _is_path(rest)):
        path, profile = _local(rest, models_folder)
        profile = _changed(profile, changes)
        return LlamaCppModel(path, profile=profile, threads=threads, slots=slots, on_progress=on_progress)
    raise UnknownModelError(name, KNOWN)


def _local(rest: str, models_folder: Path | None) -> tuple[Path, ModelProfile]:
    model = EMBEDDED.get(rest)
    if model is None:
        path = Path(rest).expanduser()
        return path, gguf_profile(f"local:{path.stem}", read_info(path))
    # Missing weights are told of at the first use, so that a daemon starts without them.
    found = find_weights(models_folder, name=rest)
    return found or (models_folder or Path()) / model.file, model.profile


def _is_path(text: str) -> bool:
    return text.endswith(".gguf") or "/" in text or text.startswith("~")


def _changed(profile: ModelProfile, changes: dict[str, ToolMode | int | None]) -> ModelProfile:
    given = {field: value for field, value in changes.items() if value is not None}
    return msgspec.structs.replace(profile, **given) if given else profile
