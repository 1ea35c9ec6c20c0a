"""Chat completions: the agent as a durable run, and the model asked directly; errors as OpenAI's clients read them."""

import json

import anyio
import pytest

from agent_core.chat import JsonSchema, NamedTool
from agent_core.errors import ContextTooLongError, ModelUnavailableError
from agent_core.messages import FinishReason, Image, Message, Reasoning, Text
from agent_core.testing import answer, call

AGENT, MODEL = "agent", "test:scripted"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def says(text):
    return {"role": "user", "content": text}


async def chat(client, model=MODEL, messages=None, **fields):
    body = {"model": model, "messages": messages or [says("hello")], **fields}
    return await client.post("/v1/chat/completions", json=body)


def text_of(frames):
    return "".join(
        choice["delta"].get("content") or "" for frame in frames[:-1] for choice in frame["choices"]
    )


async def test_models_are_listed_and_shown(serving):
    async with serving([answer("x")]) as (client, _):
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [one["id"] for one in listed["data"]] == [AGENT, MODEL, "static:minilm-256-1"]
        assert (await client.get(f"/v1/models/{MODEL}")).json() == listed["data"][1]
        missing = await client.get("/v1/models/some/other")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"


async def test_the_agent_answers_by_a_durable_run_with_its_skills(serving):
    script = [call("calculator", {"expression": "17*23"}), answer("It is 391.")]
    async with serving(script) as (client, daemon):
        earlier = [
            {"role": "system", "content": "Be brief."},
            says("Hi"),
            {"role": "assistant", "content": "Yes?"},
        ]
        reply = await chat(client, AGENT, [*earlier, says("What is 17*23?")])
        assert reply.status_code == 200, reply.text
        body = reply.json()
        assert body["choices"][0]["message"]["content"] == "It is 391."
        assert body["choices"][0]["finish_reason"] == "stop"
        run = (await client.get(f"/api/v1/runs/{reply.headers['x-run-id']}")).json()
        assert (run["status"], run["prompt"], run["turns"]) == ("done", "What is 17*23?", 2)
        first, second = daemon.tenants.machine.model.requests
        assert [message.text for message in first.messages][-3:] == ["Hi", "Yes?", "What is 17*23?"]
        assert "Be brief." in first.messages[0].text
        assert second.messages[-1].tool_results[0].content == "391"
        assert body["usage"]["total_tokens"] == run["usage"]["input"] + run["usage"]["output"]
        (day,) = (await client.get("/api/v1/usage")).json()["items"]
        assert day["turns"] == 2


async def test_a_stream_of_the_agent_is_whole_however_late_it_is_read(serving, frames):
    async with serving([answer("one two three")]) as (client, _):
        reply = await chat(client, AGENT, stream=True, stream_options={"include_usage": True})
        assert reply.headers["content-type"].startswith("text/event-stream")
        seen = frames(reply.text)
        assert seen[-1] == "[DONE]"
        assert seen[0]["choices"][0]["delta"]["role"] == "assistant"
        assert text_of(seen) == "one two three"
        assert seen[-3]["choices"][0]["finish_reason"] == "stop"
        assert (seen[-2]["choices"], seen[-2]["usage"]["completion_tokens"]) == ([], 3)
        assert all(frame["usage"] is None for frame in seen[:-2])
        assert len({frame["id"] for frame in seen[:-1]}) == 1


async def test_a_client_that_goes_away_does_not_end_the_run(serving):
    came, gone = anyio.Event(), anyio.Event()

    async with serving([answer("done all the same")]) as (client, daemon):
        model = daemon.tenants.machine.model
        told = model.stream

        async def slow(request):
            came.set()
            await gone.wait()
            async for item in told(request):
                yield item

        model.stream = slow
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chat, client, AGENT)
            await came.wait()
            tasks.cancel_scope.cancel()
        gone.set()
        with anyio.fail_after(10):
            while (run := (await client.get("/api/v1/runs")).json()["items"][0])["status"] == "running":
                await anyio.sleep(0.01)
        assert (run["status"], run["answer"]) == ("done", "done all the same")


async def test_the_agent_asks_a_person_in_its_answer(serving):
    async with serving([call("ask_person", {"question": "Red or blue?"}), answer("x")], ask_person=True) as (
        client,
        _,
    ):
        reply = await chat(client, AGENT)
        assert reply.json()["choices"][0]["message"]["content"] == "Red or blue?"
        run = (await client.get(f"/api/v1/runs/{reply.headers['x-run-id']}")).json()
        assert run["status"] == "waiting"


async def test_the_model_is_asked_directly_with_everything_that_was_said(serving):
    picture = "data:image/png;base64,iVBORw0KGgo="
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    fields = {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": "END",
        "seed": 3,
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "it", "schema": {"type": "object"}},
        },
        "some_field_of_tomorrow": True,
    }
    async with serving([answer("{}")]) as (client, daemon):
        reply = await chat(client, MODEL, messages, **fields)
        assert reply.status_code == 200, reply.text
        (asked,) = daemon.tenants.machine.model.requests
        assert [message.role for message in asked.messages] == ["system", "user", "assistant", "tool"]
        assert isinstance(asked.messages[1].parts[1], Image)
        assert asked.messages[2].tool_calls[0].arguments == {"city": "Oslo"}
        assert asked.messages[3].tool_results[0].content == "rain"
        assert asked.tools[0].name == "weather"
        assert asked.tool_choice == NamedTool(name="weather")
        assert asked.constraint == JsonSchema(schema={"type": "object"}, name="it")
        assert (asked.max_output_tokens, asked.temperature, asked.top_p, asked.stop) == (
            7,
            0.5,
            0.9,
            ("END",),
        )
        assert (asked.seed, asked.effort, asked.parallel_tool_calls) == (3, "low", False)
        assert asked.context.key_id == daemon.first_key.split("_")[1]
        assert "x-run-id" not in reply.headers
        assert (await client.get("/api/v1/runs")).json()["items"] == []
        (day,) = (await client.get("/api/v1/usage")).json()["items"]
        assert (day["turns"], day["input_tokens"]) == (1, 4)


@pytest.mark.parametrize("model", [AGENT, MODEL])
async def test_calls_of_client_side_tools_are_handed_back(serving, frames, model):
    async with serving([call("weather", {"city": "Oslo"})]) as (client, daemon):
        whole = (await chat(client, model, tools=[WEATHER])).json()["choices"][0]
        assert (whole["finish_reason"], whole["message"]["content"]) == ("tool_calls", None)
        (made,) = whole["message"]["tool_calls"]
        assert made["id"]
        assert json.loads(made["function"]["arguments"]) == {"city": "Oslo"}
        streamed = frames((await chat(client, model, tools=[WEATHER], stream=True)).text)
        deltas = [choice["delta"] for frame in streamed[:-1] for choice in frame["choices"]]
        (calls,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
        assert (calls[0]["index"], calls[0]["function"]["name"]) == (0, "weather")
        assert streamed[-2]["choices"][0]["finish_reason"] == "tool_calls"
        assert all(request.tools[0].name == "weather" for request in daemon.tenants.machine.model.requests)


async def test_thoughts_and_refusals_have_their_own_fields(serving, frames):
    reply = Message(role="assistant", parts=(Reasoning(text="Hm."), Text(text="I will not.", refusal=True)))
    async with serving([reply]) as (client, _):
        message = (await chat(client)).json()["choices"][0]["message"]
        assert (message["refusal"], message["content"], message["reasoning_content"]) == (
            "I will not.",
            None,
            "Hm.",
        )


async def test_a_wrong_request_is_told_by_its_field(serving):
    cases = [
        ({"model": "gpt-9"}, 404, "model", "model_not_found"),
        ({"messages": []}, 400, "messages", "invalid_request"),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "messages[0].content", "invalid_request"),
        ({"temperature": 9}, 400, "temperature", "invalid_request"),
        ({"n": 2}, 400, "n", "invalid_request"),
        ({"max_tokens": 0}, 400, "max_tokens", "invalid_request"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            400,
            "tool_choice",
            "invalid_request",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}
                ]
            },
            400,
            "messages[0].content[0]",
            "invalid_request",
        ),
        ({"model": AGENT, "messages": [says("  ")]}, 400, "messages", "invalid_request"),
    ]
    async with serving([answer("x")]) as (client, _):
        for fields, status, param, code in cases:
            reply = await client.post(
                "/v1/chat/completions", json={"model": MODEL, "messages": [says("hi")], **fields}
            )
            error = reply.json()["error"]
            assert (reply.status_code, error["param"], error["code"]) == (status, param, code), (
                fields,
                error,
            )
            assert error["type"] == "invalid_request_error"
        assert (await client.post("/v1/chat/completions", content=b"{")).status_code == 400
        nowhere = await client.post("/v1/nowhere", json={})
        assert nowhere.status_code == 404
        assert "message" in nowhere.json()["error"]


@pytest.mark.parametrize("model", [AGENT, MODEL])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_cannot_be_asked(serving, frames, model, stream):
    async with serving([ModelUnavailableError("gone fishing")]) as (client, _):
        reply = await chat(client, model, stream=stream)
        if stream and model == AGENT:
            *_, error, done = frames(reply.text)
            assert done == "[DONE]"
        else:
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
            error = reply.json()
        assert "gone fishing" in error["error"]["message"]
        assert (error["error"]["code"], error["error"]["type"]) == ("model_unavailable", "server_error")


async def test_too_long_a_context_has_the_code_that_clients_know(serving):
    async with serving([ContextTooLongError("m", 10, 5)]) as (client, _):
        reply = await chat(client)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_no_more_than_max_runs_are_answered_at_once(serving):
    gone, came = anyio.Event(), anyio.Event()
    async with serving([answer("x")], max_runs=1) as (client, daemon):
        model = daemon.tenants.machine.model
        told = model.stream

        async def slow(request):
            came.set()
            await gone.wait()
            async for item in told(request):
                yield item

        model.stream = slow
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chat, client, MODEL)
            await came.wait()
            for name in (MODEL, AGENT):
                refused = await chat(client, name)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            gone.set()
        assert (await chat(client, MODEL)).status_code == 200


async def test_a_key_that_has_spent_its_tokens_is_stopped(serving):
    async with serving([answer("one two three")]) as (client, daemon):
        from agent_api.access.keys import KeyLimits

        text = daemon.keys.create(now=0.0, limits=KeyLimits(tokens_per_day=3))[1]
        client.headers["authorization"] = f"Bearer {text}"
        assert (await chat(client)).status_code == 200
        for name in (MODEL, AGENT):
            refused = await chat(client, name)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "rate_limit_exceeded"


async def test_an_answer_that_was_cut_says_so(serving):
    async with serving([answer("x")]) as (client, daemon):
        model = daemon.tenants.machine.model
        told = model.stream

        async def cut(request):
            from msgspec.structs import replace

            async for item in told(request):
                yield replace(item, finish_reason=FinishReason.LENGTH) if hasattr(item, "message") else item

        model.stream = cut
        for name in (MODEL, AGENT):
            assert (await chat(client, name)).json()["choices"][0]["finish_reason"] == "length"
