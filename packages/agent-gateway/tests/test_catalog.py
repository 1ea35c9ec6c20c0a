from pathlib import Path

import pytest

from agent_core.chat import ModelProfile, ToolMode
from agent_gateway.catalog import KNOWN, connect
from agent_gateway.client import HttpChatModel
from agent_gateway.compat import COMPATS, Thinking
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.engines.vllm_server import VllmServerModel
from agent_gateway.errors import MissingExtraError, UnknownModelError, UnknownServerError, WeightsError
from agent_gateway.families import FAMILIES, family_of, remote_profile
from agent_gateway.gguf import GgufInfo
from agent_gateway.profiles import gguf_profile
from agent_gateway.providers import PROVIDERS

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "local:",
        "local:gpt-9",
        "openai:",
        "openai",
        "nobody:llama",
        "smollm2-135m",
        "llama:",
        "llama:x",
        "vllm:",
    ],
)
def test_an_unknown_name_lists_those_that_are_known(name: str) -> None:
    with pytest.raises(
        UnknownModelError, match=r"local:smollm2-135m, .*, vllm:/path/to/checkpoint, openai:NAME, anthr"
    ):
        connect(name)
    assert len(KNOWN) == len(PROVIDERS) + 6


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.name)
def test_each_provider_is_asked_at_its_address_in_its_format(
    provider: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = PROVIDERS[getattr(provider, "name", "")]
    for name in found.key_names:
        monkeypatch.setenv(name, KEY)
    model = connect(f"{found.name}:m")
    assert isinstance(model, HttpChatModel)
    assert model.profile.name == f"{found.name}:m"
    assert repr(model) == f"HttpChatModel('{found.name}:m at {found.base_url}')"
    assert model._dialect.name == found.dialect
    assert any(KEY in value for value in model._headers.values()) == bool(found.key_names)
    assert not found.server or found.server in COMPATS
    assert KEY not in repr(vars(model)["_target"])


def test_a_key_of_the_environment_is_for_the_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    elsewhere = connect("openai:m", base_url="http://127.0.0.1:8000/v1")
    assert isinstance(elsewhere, HttpChatModel)
    assert KEY not in str(elsewhere._headers)
    assert elsewhere._dialect.name == "openai_chat"
    given = connect("openai:m", base_url="http://127.0.0.1:8000/v1", api_key=KEY)
    assert isinstance(given, HttpChatModel)
    assert given._headers["Authorization"] == f"Bearer {KEY}"
    none = connect("openai:m", api_key="")
    assert isinstance(none, HttpChatModel)
    assert "Authorization" not in none._headers


def test_the_format_can_be_chosen() -> None:
    model = connect("openai:m", dialect="openai_chat")
    assert isinstance(model, HttpChatModel)
    assert model._dialect.name == "openai_chat"
    with pytest.raises(UnknownServerError, match="vllm"):
        connect("openai:m", server="nginx")


def test_what_the_caller_knows_better() -> None:
    model = connect("openai:gpt-5", context_tokens=1_000_000, tool_mode=ToolMode.CONSTRAINED)
    assert (model.profile.tool_mode, model.profile.context_tokens) == (ToolMode.CONSTRAINED, 1_000_000)


@pytest.mark.parametrize(
    ("name", "context_tokens", "thinking"),
    [
        ("openai:gpt-4o-mini", 128_000, Thinking.NONE),
        ("openai:gpt-5-mini", 400_000, Thinking.EFFORT),
        ("openai:gpt-5.6-terra", 1_050_000, Thinking.EFFORT),
        ("openai:gpt-6-sol", 1_050_000, Thinking.EFFORT),
        ("openai:gpt-6.2-sol", 1_050_000, Thinking.EFFORT),
        ("xai:grok-4.7", 500_000, Thinking.EFFORT),
        ("xai:grok-4.3", 1_000_000, Thinking.EFFORT),
        ("xai:grok-4", 256_000, Thinking.NONE),
        ("openai:gpt-5.4-2026-03-05", 400_000, Thinking.EFFORT),
        ("openai:o3-mini", 200_000, Thinking.EFFORT),
        ("anthropic:claude-3-5-sonnet-latest", 200_000, Thinking.NONE),
        ("anthropic:claude-sonnet-4-5", 200_000, Thinking.BUDGET),
        ("anthropic:claude-opus-4-8", 200_000, Thinking.ADAPTIVE),
        ("anthropic:claude-opus-5", 200_000, Thinking.ADAPTIVE),
        ("gemini:gemini-2.5-flash", 1_048_576, Thinking.BUDGET),
        ("gemini:gemini-3.6-flash", 1_048_576, Thinking.EFFORT),
        ("openrouter:anthropic/claude-sonnet-4.5", 200_000, Thinking.BUDGET),
        ("openrouter:google/gemini-2.5-pro", 1_048_576, Thinking.BUDGET),
        ("groq:openai/gpt-oss-120b", 131_072, Thinking.EFFORT),
        ("somebody:something", 128_000, Thinking.NONE),
    ],
)
def test_families(name: str, context_tokens: int, thinking: Thinking) -> None:
    profile = remote_profile(name)
    assert (profile.name, profile.context_tokens) == (name, context_tokens)
    assert family_of(name).traits.thinking is thinking
    assert profile.reasoning == (thinking is not Thinking.NONE)


def test_every_family_is_found_by_one_of_its_names() -> None:
    """None is hidden behind one that stands before it."""
    for family in FAMILIES:
        names = [
            pattern.replace("[1-9]", "1").replace("[5-9]", "6").replace("[6-9]", "6")
            for pattern in family.names
        ]
        plain = [
            name.replace("[a-z]*[a-z]", "opus").replace("[0-9]", "3").replace("*:", "x:") for name in names
        ]
        assert family in [family_of(name.replace("*", "")) for name in plain], family.names


async def test_the_embedded_model_opens_without_weights_and_says_so_when_used(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    for model in (connect(models_folder=tmp_path), connect("local", models_folder=tmp_path)):
        assert isinstance(model, LlamaCppModel)
        assert model.profile.tool_mode is ToolMode.ROUTED


async def test_a_path_that_is_no_weight_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        connect(f"local:{tmp_path}/m.gguf")


def test_a_path(weights: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = connect(f"local:{weights}")
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
    profile: ModelProfile = gguf_profile("local:m", info)
    assert (profile.tool_mode, profile.context_tokens) == (mode, 8_192)


def test_the_engines_by_name(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.delenv("AGENT_VLLM_PYTHON", raising=False)
    assert isinstance(connect(f"llama:{weights}", slots=2, reply_tokens=9), LlamaCppModel)
    assert connect(f"llama:{weights}", reply_tokens=9).profile.reply_tokens == 9
    assert connect(f"llama:{weights}").profile.name == f"llama:{weights.stem}"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"agent-gateway\[mistralrs\]"):
        connect(f"mistralrs:{weights}")
    with pytest.raises(MissingExtraError, match=r"agent-gateway\[vllm\]"):
        connect(f"vllm:{tmp_path}")


def test_vllm_in_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    monkeypatch.setenv("AGENT_VLLM_PYTHON", "/somewhere/bin/python")
    model = connect(f"vllm:{tmp_path}", tool_mode=ToolMode.ROUTED)
    assert isinstance(model, VllmServerModel)
    assert model.profile.context_tokens == 2_048
    assert model.profile.reply_tokens == 512
    assert model.profile.tool_mode is ToolMode.ROUTED
    assert isinstance(connect("vllm:served-elsewhere"), HttpChatModel)


@pytest.mark.parametrize(
    ("name", "server", "grammars", "union_root"),
    [
        ("openai:gpt-5", None, False, False),
        ("groq:llama", None, False, True),
        ("vllm:m", None, True, True),
        ("openai:m", "llama.cpp", True, True),
    ],
)
def test_what_weak_models_may_be_held_to(
    name: str, server: str | None, grammars: bool, union_root: bool
) -> None:
    profile = connect(name, server=server, api_key="").profile
    assert profile.grammars is grammars
    assert profile.schema_limits.union_root is union_root
