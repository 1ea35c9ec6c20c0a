"""What a request may say and nobody here gives is refused by name; what can be given is given."""

import pytest

from agent_core.errors import ModelRefusedError
from agent_core.testing import answer
from agent_gateway.errors import CredentialsError, ProviderRefusedError

MODEL = "test:scripted"
SAID = [{"role": "user", "content": "hi"}]
OF_CHAT = {
    "logprobs": True,
    "top_logprobs": 3,
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "web_search_options": {},
    "n": 2,
}
OF_RESPONSES = {
    "top_logprobs": 3,
    "include": ["message.output_text.logprobs"],
    "prompt": {"id": "pmpt_1"},
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
    "tools": [{"type": "web_search"}],
}
OF_THE_AGENT = {"max_tool_calls": 3}
HARMLESS = {
    "user": "u-1",
    "metadata": {"k": "v"},
    "service_tier": "auto",
    "prompt_cache_key": "p",
    "top_logprobs": 0,
    "presence_penalty": 0,
    "a_field_of_next_year": {"x": 1},
}


async def refused(client, path, body, field):
    reply = await client.post(path, json=body)
    error = reply.json()["error"]
    assert reply.status_code == 400, reply.text
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(field)
    assert error["message"]


@pytest.mark.parametrize("model", ["agent", MODEL])
async def test_what_is_not_served_is_refused_by_name(serving, model):
    async with serving([]) as (client, daemon):
        for field, value in OF_CHAT.items():
            body = {"model": model, "messages": SAID, field: value}
            await refused(client, "/v1/chat/completions", body, field)
        for field, value in OF_RESPONSES.items():
            await refused(client, "/v1/responses", {"model": model, "input": "hi", field: value}, field)
        assert daemon.tenants.machine.model.requests == []


async def test_a_limit_on_the_agent_s_own_calls_is_refused_and_means_nothing_to_a_model(serving):
    async with serving([answer("Fine.")]) as (client, _):
        for field, value in OF_THE_AGENT.items():
            await refused(client, "/v1/responses", {"model": "agent", "input": "hi", field: value}, field)
            reply = await client.post("/v1/responses", json={"model": MODEL, "input": "hi", field: value})
            assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("model", ["agent", MODEL])
async def test_hints_and_fields_of_tomorrow_are_let_through(serving, model):
    async with serving([answer("Fine."), answer("Fine.")]) as (client, _):
        chat = {"model": model, "messages": SAID, "logprobs": False, "modalities": ["text"], **HARMLESS}
        assert (await client.post("/v1/chat/completions", json=chat)).status_code == 200
        plain = {"model": model, "input": "hi", "include": ["reasoning.encrypted_content"], **HARMLESS}
        assert (await client.post("/v1/responses", json=plain)).status_code == 200


async def test_penalties_reach_the_model(serving):
    async with serving([answer("Fine."), answer("Fine.")]) as (client, daemon):
        asked = {"presence_penalty": 0.5, "frequency_penalty": -1, "logit_bias": {"42": -100}}
        await client.post("/v1/chat/completions", json={"model": MODEL, "messages": SAID, **asked})
        penalties = {"presence_penalty": 0.5, "frequency_penalty": 0}
        made = await client.post("/v1/responses", json={"model": MODEL, "input": "hi", **penalties})
        assert made.json()["presence_penalty"] == 0.5
        first, second = daemon.tenants.machine.model.requests
        assert first.extra == asked
        assert second.extra == {"presence_penalty": 0.5}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ProviderRefusedError("a server", "no pictures", status=400), 400, "invalid_request_error"),
        (CredentialsError("a server", "no such key", setting="AGENT_KEY", status=401), 502, "server_error"),
        (ModelRefusedError("refused"), 502, "server_error"),
    ],
)
async def test_what_a_model_refuses_is_not_asked_again(serving, error, status, kind):
    async with serving([error]) as (client, _):
        reply = await client.post("/v1/chat/completions", json={"model": MODEL, "messages": SAID})
        assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
        assert reply.headers["x-should-retry"] == "false"
