"""From a name to a model on this machine: `local`, `llama:PATH`, `mistralrs:PATH`, `vllm:FOLDER`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from agent_core.chat import ModelProfile, ToolMode
from agent_gateway.gguf import read_info
from agent_gateway.profiles import DEFAULT_LOCAL, EMBEDDED, gguf_profile
from agent_gateway.weights import OnProgress, find_weights

if TYPE_CHECKING:  # an engine is imported by who asks for it
    from agent_gateway.engines.llama_cpp import LlamaCppModel
    from agent_gateway.engines.mistral_rs import MistralRsModel
    from agent_gateway.engines.vllm import VllmModel
    from agent_gateway.engines.vllm_server import VllmServerModel

LocalModel: TypeAlias = "LlamaCppModel | MistralRsModel | VllmModel | VllmServerModel"
"""A model on this machine: a `ChatModel` that can be loaded before its first use (`load`)."""

LOCAL_NAMES = (
    "local",
    *(f"local:{name}" for name in EMBEDDED),
    "local:/path/to/model.gguf",
    "llama:/path/to/model.gguf",
    "mistralrs:/path/to/model.gguf",
    "vllm:/path/to/checkpoint",
)
"""The names that `local_model` takes, for people to read."""
VLLM_PYTHON = "AGENT_VLLM_PYTHON"
"""In the environment: the interpreter of another environment, which has vLLM."""
VLLM_SLOTS = 16
"""It batches by itself: one slot, the others' least, would waste it."""


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be said of a local model beside its name."""

    models_folder: Path | None = None
    threads: int | None = None
    slots: int = 1
    on_progress: OnProgress | None = None


def local_model(
    name: str,
    settings: LocalSettings,
    *,
    profiled: Callable[[ModelProfile], ModelProfile] = lambda known: known,
) -> "LocalModel | None":
    """The model called `name`; nothing is loaded before its first use. None: no name of a local model.

    `profiled` changes what is known of it. `vllm:` is run by a server of our own where `AGENT_VLLM_PYTHON` names an
    interpreter that has vLLM, else in this process.

    Raises:
        WeightsError: the path is no whole GGUF file.
        MissingExtraError: the engine is not installed.
    """
    kind, _, rest = name.partition(":")
    if kind == "local":
        rest = rest or (DEFAULT_LOCAL if name == kind else "")
    if kind == "local" and rest in EMBEDDED:
        # Missing weights are told of at the first use, so that a daemon starts without them.
        model = EMBEDDED[rest]
        path = find_weights(settings.models_folder, name=rest) or (
            (settings.models_folder or Path()) / model.file
        )
        return _llama(path, profiled(model.profile), settings)
    if not _is_path(rest):
        return None
    path = Path(rest).expanduser()
    match kind:
        case "local" | "llama":
            return _llama(path, profiled(gguf_profile(f"{kind}:{path.stem}", read_info(path))), settings)
        case "mistralrs":
            profile = profiled(gguf_profile(f"{kind}:{path.stem}", read_info(path)))
            from agent_gateway.engines.mistral_rs import MistralRsModel  # noqa: PLC0415

            return MistralRsModel(
                path,
                profile=profile,
                threads=settings.threads,
                slots=settings.slots,
                on_progress=settings.on_progress,
            )
        case "vllm":
            return _vllm(path, profiled(_checkpoint_profile(path)), settings)
        case _:
            return None


def _llama(path: Path, profile: ModelProfile, settings: LocalSettings) -> "LlamaCppModel":
    from agent_gateway.engines.llama_cpp import LlamaCppModel  # noqa: PLC0415

    return LlamaCppModel(
        path,
        profile=profile,
        threads=settings.threads,
        slots=settings.slots,
        on_progress=settings.on_progress,
    )


def _vllm(path: Path, profile: ModelProfile, settings: LocalSettings) -> "VllmModel | VllmServerModel":
    elsewhere = os.environ.get(VLLM_PYTHON, "")
    if elsewhere:
        from agent_gateway.engines.vllm_server import VllmServerModel  # noqa: PLC0415

        return VllmServerModel(
            path, python=Path(elsewhere), profile=profile, on_progress=settings.on_progress
        )
    from agent_gateway.engines.vllm import VllmModel  # noqa: PLC0415

    slots = settings.slots if settings.slots > 1 else VLLM_SLOTS
    return VllmModel(path, profile=profile, slots=slots, on_progress=settings.on_progress)


class _Config(msgspec.Struct):
    max_position_embeddings: int = 4_096


def _checkpoint_profile(folder: Path) -> ModelProfile:
    """By the context that the model was trained with; what is wrong with the folder is told of when it is loaded."""
    # A reply is read for calls only where vLLM is told in which format the model was trained to write them.
    known = ModelProfile(name=f"vllm:{folder.name}", tool_mode=ToolMode.CONSTRAINED, reply_tokens=1_024)
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
    except (OSError, msgspec.DecodeError):
        return known
    context = min(config.max_position_embeddings, _VLLM_CONTEXT_TOKENS)
    return msgspec.structs.replace(
        known, context_tokens=context, reply_tokens=min(known.reply_tokens, context // 4)
    )


_VLLM_CONTEXT_TOKENS = 32_768


def _is_path(text: str) -> bool:
    return text.endswith(".gguf") or "/" in text or text.startswith("~")
