"""Tools of a client for a model without a tool format: its reply is held to a call or an answer, in both APIs."""

import json

import pytest

from agent_core.chat import ModelProfile, ToolMode
from agent_core.testing import answer

MODEL = "test:scripted"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "weather", "description": "The weather.", "parameters": PARAMETERS}
CALLS = '{"tool": "weather", "arguments": {"city": "Oslo"}}'
TIMER = {
    "type": "function",
    "name": "setTimer",
    "description": "Set a timer.",
    "parameters": {"type": "object"},
}


@pytest.fixture
def weak(serving):
    """A daemon whose model must be held."""

    def opened(*replies, mode=ToolMode.ROUTED):
        return serving([answer(reply) for reply in replies]), ModelProfile(name=MODEL, tool_mode=mode)

    return opened


async def respond(client, **fields):
    body = {"model": MODEL, "input": "Weather in Oslo?", "tools": [WEATHER], **fields}
    reply = await client.post("/v1/responses", json=body)
    assert reply.status_code == 200, reply.text
    return reply


@pytest.mark.parametrize("mode", [ToolMode.ROUTED, ToolMode.CONSTRAINED])
async def test_a_call_is_read_from_what_it_was_held_to(weak, wrong, mode):
    told = "Rain." if mode is ToolMode.ROUTED else '{"answer": "Rain."}'
    opened, profile = weak(CALLS, CALLS, told, mode=mode)
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        made = (await respond(client, instructions="Be brief.")).json()
        (item,) = made["output"]
        assert (item["type"], item["name"]) == ("function_call", "weather")
        assert json.loads(item["arguments"]) == {"city": "Oslo"}
        assert wrong(made, "ResponseResource", "open-responses.json") == []
        (asked,) = model.requests
        assert asked.tools == ()
        assert '"weather"' in json.dumps(asked.constraint.schema)
        assert "Be brief." in asked.messages[0].text
        assert [message.role for message in asked.messages] == ["system", "user"]
        again = (await respond(client)).json()["output"][0]
        assert again["call_id"] != item["call_id"]
        back = {"type": "function_call_output", "call_id": item["call_id"], "output": "rain"}
        done = (await respond(client, input=[back], previous_response_id=made["id"])).json()
        assert done["output"][0]["content"][0]["text"] == "Rain."


async def test_an_answer_streams_without_the_shape_that_it_was_held_to(weak, frames, wrong_event):
    opened, profile = weak('{"answer": "Hello there."}', mode=ToolMode.CONSTRAINED)
    async with opened as (client, daemon):
        daemon.tenants.machine.model._profile = profile
        *events, _ = frames((await respond(client, stream=True)).text)
        for event in events:
            assert wrong_event(event) == []
        deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        assert deltas == "Hello there."


async def test_a_chat_completion_hands_the_call_back(weak):
    opened, profile = weak(CALLS)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Weather in Oslo?"}],
        "tools": [{"type": "function", "function": {k: v for k, v in WEATHER.items() if k != "type"}}],
    }
    async with opened as (client, daemon):
        daemon.tenants.machine.model._profile = profile
        choice = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["tool_calls"][0]["function"]["name"] == "weather"
        plain = await client.post("/v1/chat/completions", json={**body, "tool_choice": "none"})
        assert plain.json()["choices"][0]["message"]["content"] == CALLS  # it was not held


async def test_for_the_smallest_models_likeness_proposes_the_tool(weak):
    opened, profile = weak('{"tool": "setTimer", "arguments": {}}')
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        made = (await respond(client, input="a timer for ten minutes, please", tools=[WEATHER, TIMER])).json()
        assert [item["name"] for item in made["output"]] == ["setTimer"]
        (shape,) = model.requests[0].constraint.schema["anyOf"]
        assert shape["properties"]["tool"] == {"const": "setTimer"}


async def test_where_no_tool_is_like_the_request_the_smallest_models_answer_freely(weak, frames):
    opened, profile = weak("Hello there.", "Hello there.")
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        made = (await respond(client, input="Who wrote Hamlet?", tools=[WEATHER, TIMER])).json()
        assert made["output"][0]["content"][0]["text"] == "Hello there."
        *events, _ = frames((await respond(client, input="Who wrote Hamlet?", stream=True)).text)
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == "Hello there."
        for asked in model.requests:
            assert (asked.constraint, asked.tools) == (None, ())
            assert asked.repeat_penalty > 1


@pytest.mark.parametrize("mode", [ToolMode.ROUTED, ToolMode.CONSTRAINED])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
async def test_a_call_that_is_asked_for_is_no_choice_of_the_model(weak, mode, choice):
    opened, profile = weak(CALLS, mode=mode)
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        made = (await respond(client, input="Who wrote Hamlet?", tool_choice=choice)).json()
        assert [item["type"] for item in made["output"]] == ["function_call"]
        (shape,) = model.requests[0].constraint.schema["anyOf"]
        assert shape["properties"]["tool"] == {"const": "weather"}
