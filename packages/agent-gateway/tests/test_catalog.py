from pathlib import Path

import pytest

from agent_core.chat import ToolMode
from agent_gateway.catalog import open_model
from agent_gateway.client import OpenAIChatModel
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.errors import UnknownModelError, WeightsError
from agent_gateway.gguf import GgufInfo
from agent_gateway.profiles import gguf_profile


@pytest.mark.parametrize(
    "name", ["", "local", "local:", "local:gpt-9", "openai:", "openai", "groq:llama", "smollm2-135m"]
)
def test_an_unknown_name_lists_those_that_are_known(name: str) -> None:
    with pytest.raises(
        UnknownModelError, match=r"local:smollm2-135m, local:/path/to/model.gguf, openai:NAME"
    ):
        open_model(name)


def test_a_remote_model() -> None:
    model = open_model("openai:gpt-5", context_tokens=1_000_000)
    assert isinstance(model, OpenAIChatModel)
    assert model.profile.name == "openai:gpt-5"
    assert (model.profile.tool_mode, model.profile.context_tokens) == (ToolMode.NATIVE, 1_000_000)
    assert open_model("openai:m", tool_mode=ToolMode.CONSTRAINED).profile.tool_mode is ToolMode.CONSTRAINED


async def test_the_embedded_model_opens_without_weights_and_says_so_when_used(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = open_model(models_folder=tmp_path)
    assert isinstance(model, LlamaCppModel)
    assert model.profile.tool_mode is ToolMode.ROUTED


async def test_a_path_that_is_no_weight_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        open_model(f"local:{tmp_path}/m.gguf")


def test_a_path(weights: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = open_model(f"local:{weights}")
    assert model.profile.name == f"local:{weights.stem}"
    assert model.profile.tool_mode is ToolMode.ROUTED


@pytest.mark.parametrize(
    ("parameters", "mode"),
    [
        (135_000_000, ToolMode.ROUTED),
        (494_000_000, ToolMode.CONSTRAINED),
        (1_700_000_000, ToolMode.CONSTRAINED),
        (7_000_000_000, ToolMode.NATIVE),
    ],
)
def test_the_tool_mode_goes_by_size(parameters: int, mode: ToolMode) -> None:
    info = GgufInfo(
        architecture="llama", name="m", context_tokens=32_768, parameters=parameters, has_chat_template=True
    )
    profile = gguf_profile("local:m", info)
    assert (profile.tool_mode, profile.context_tokens) == (mode, 8_192)
