"""Replies hold to the OpenAPI documents of those whose clients read them."""

import pytest

from agent_core.testing import answer, call

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("model", ["agent", "test:scripted"])
@pytest.mark.parametrize("tools", [[], [TOOL]])
async def test_a_chat_completion_and_its_chunks(serving, frames, wrong, model, tools):
    body = {**CHAT, "model": model, **({"tools": tools} if tools else {})}
    async with serving([call("weather", {"city": "Oslo"}) if tools else answer("one two")]) as (client, _):
        whole = (await client.post("/v1/chat/completions", json=body)).json()
        assert wrong(body, "CreateChatCompletionRequest") == []
        assert wrong(whole, "CreateChatCompletionResponse") == []
        streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
        for chunk in frames((await client.post("/v1/chat/completions", json=streamed)).text)[:-1]:
            assert wrong(chunk, "CreateChatCompletionStreamResponse") == []


async def test_models_and_errors(serving, wrong):
    async with serving([answer("x")]) as (client, _):
        assert wrong((await client.get("/v1/models")).json(), "ListModelsResponse") == []
        assert wrong((await client.get("/v1/models/agent")).json(), "Model") == []
        for reply in (
            await client.get("/v1/models/none"),
            await client.post("/v1/chat/completions", json={}),
            await client.get("/v1/models", headers={"authorization": "Bearer wrong"}),
        ):
            assert reply.status_code >= 400
            assert wrong(reply.json(), "ErrorResponse") == []
