"""What a server tells of its model, and the profile that follows."""

import json
from typing import Any

import pytest

from agent_core.chat import ToolMode
from agent_gateway.client import HttpChatModel
from agent_gateway.errors import ProviderUnavailableError

LLAMA = {"owned_by": "llamacpp", "meta": {"n_params": 134_515_008, "n_ctx": 4_096}}
CASES = [
    ({"data": [{"id": "other", **LLAMA}]}, ToolMode.ROUTED, 4_096, 1_024),
    (
        {"data": [{"id": "m", "meta": {"n_params": 500_000_000, "n_ctx": 2_048}}]},
        ToolMode.CONSTRAINED,
        2_048,
        512,
    ),
    ({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 32_768}]}, ToolMode.NATIVE, 32_768, 1_024),
    ({"data": [{"id": "a", **LLAMA}, {"id": "b"}]}, ToolMode.NATIVE, 128_000, 4_096),
    ({"data": [{"id": "m", "owned_by": "somebody"}]}, ToolMode.NATIVE, 128_000, 4_096),
    ({"object": "list"}, ToolMode.NATIVE, 128_000, 4_096),
]


@pytest.mark.parametrize(("models", "mode", "context_tokens", "reply_tokens"), CASES)
async def test_the_profile_follows_what_the_server_tells(
    server: Any, make_script: Any, models: object, mode: ToolMode, context_tokens: int, reply_tokens: int
) -> None:
    server.say(make_script(json.dumps(models).encode(), content_type="application/json"))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        profile = await model.discover()
        assert model.profile == profile
    assert (profile.tool_mode, profile.context_tokens) == (mode, context_tokens)
    assert profile.reply_tokens == reply_tokens
    assert profile.name == "openai:m"
    assert server.requests[0]["path"] == "/v1/models"


async def test_a_server_that_is_away_is_an_error_and_changes_nothing() -> None:
    async with HttpChatModel("m", base_url="http://127.0.0.1:9/v1") as model:
        before = model.profile
        with pytest.raises(ProviderUnavailableError):
            await model.discover()
        assert model.profile == before
