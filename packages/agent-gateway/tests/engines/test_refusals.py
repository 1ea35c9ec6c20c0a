"""What mistral.rs and vLLM refuse before they load anything; what they do is tried by `pytest -m engines`."""

import importlib.util
from pathlib import Path

import pytest

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.messages import Image, Message, user
from agent_core.tools import ToolResult
from agent_gateway.engines.mistral_rs import MistralRsModel
from agent_gateway.engines.vllm import VllmModel
from agent_gateway.errors import MissingExtraError, ProviderRefusedError, WeightsError

PROFILE = ModelProfile(name="engine:m", context_tokens=512, reply_tokens=64)
ENGINES = {"mistralrs": MistralRsModel, "vllm": VllmModel}


@pytest.fixture(params=ENGINES.items(), ids=ENGINES.keys())
def engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> type[MistralRsModel | VllmModel]:
    """The class of an engine whose wheel seems to be there."""
    name, found = request.param
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda one: real("json" if one == name else one))
    return found


@pytest.mark.parametrize(("name", "found"), ENGINES.items())
def test_a_missing_wheel_names_the_extra(
    name: str, found: type[MistralRsModel | VllmModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"agent-gateway\[{name}\]"):
        found(Path("m"), profile=PROFILE)


async def test_missing_weights(engine: type[MistralRsModel | VllmModel], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="none"):
        await engine(tmp_path / "none", profile=PROFILE).load()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message(role="user", parts=(Image(data=b"x"),)), "no pictures or files"),
        (user("caf\udcff"), "surrogates"),
    ],
)
async def test_what_it_cannot_read(
    engine: type[MistralRsModel | VllmModel], tmp_path: Path, message: Message, words: str
) -> None:
    model = engine(tmp_path / "none", profile=PROFILE)
    with pytest.raises(ProviderRefusedError, match=words):
        await anext(model.stream(ModelRequest(messages=(message,))))


async def test_what_a_tool_attached_is_left_out(
    engine: type[MistralRsModel | VllmModel], tmp_path: Path
) -> None:
    result = ToolResult(tool_call_id="c", content="a map", attachments=(Image(data=b"x"),))
    model = engine(tmp_path / "none", profile=PROFILE)
    with pytest.raises(WeightsError, match="none"):  # it is not refused before the weights are looked for
        await anext(model.stream(ModelRequest(messages=(Message(role="tool", parts=(result,)),))))


async def test_closing_what_was_never_loaded(
    engine: type[MistralRsModel | VllmModel], tmp_path: Path
) -> None:
    async with engine(tmp_path / "none", profile=PROFILE) as model:
        await model.aclose()
    assert model.profile is PROFILE


async def test_mistral_rs_refuses_what_does_not_fit(
    weights: Path, engine: type[MistralRsModel | VllmModel]
) -> None:
    if engine is not MistralRsModel:
        pytest.skip("vLLM asks its platform first")
    with pytest.raises(WeightsError, match=r"takes 234 MiB .* 64 MiB are free"):
        await MistralRsModel(weights, profile=PROFILE, memory_bytes=2**26).load()
