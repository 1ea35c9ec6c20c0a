"""A conversation made short: what people said stays, the rest is one sealed item that only this tenant's requests open."""

import pytest

from agent_core.chat import ModelProfile, ToolMode
from agent_core.testing import answer, call

AGENT, MODEL = "agent", "test:scripted"
SAID = [
    {"type": "message", "role": "user", "content": "We launch on Tuesday."},
    {"type": "function_call", "call_id": "c1", "name": "calendar", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "Tuesday is free"},
    {"type": "message", "role": "assistant", "content": "Noted."},
]


async def compact(client, said=SAID, **fields):
    return await client.post("/v1/responses/compact", json={"model": MODEL, "input": said, **fields})


@pytest.mark.parametrize("model", [AGENT, MODEL])
async def test_it_holds_what_people_said_and_a_summary_of_the_whole(serving, wrong, model):
    async with serving([answer("Launch Tuesday."), answer("ok")]) as (client, daemon):
        reply = await compact(client, model=model)
        assert reply.status_code == 200, reply.text
        made = reply.json()
        assert wrong(made, "CompactResource", "open-responses.json") == []
        assert wrong(made, "CompactResource") == []
        assert [item["type"] for item in made["output"]] == ["message", "compaction"]
        assert made["usage"]["output_tokens"] > 0
        (told,) = daemon.tenants.machine.model.requests
        assert "Tuesday is free" in told.messages[1].text

        onward = [*made["output"], {"role": "user", "content": "When?"}]
        again = await client.post("/v1/responses", json={"model": model, "input": onward})
        assert again.status_code == 200, again.text
        texts = [message.text for message in daemon.tenants.machine.model.requests[1].messages]
        assert texts[-3] == "We launch on Tuesday."
        assert "Launch Tuesday." in texts[-2]
        assert texts[-1] == "When?"
        usage = (await client.get("/api/v1/usage")).json()["items"]
        assert sum(row["output_tokens"] for row in usage) >= made["usage"]["output_tokens"]


async def test_the_smallest_models_are_not_asked_for_a_summary(serving):
    async with serving([answer("I am lost."), answer("x")]) as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = ModelProfile(name=MODEL, tool_mode=ToolMode.ROUTED)
        said = [
            {"role": "user", "content": "When do we launch it?"},
            {"role": "assistant", "content": "The launch is on Tuesday at noon."},
        ]
        made = (await compact(client, said)).json()
        assert (model.requests, made["usage"]["total_tokens"]) == ([], 0)
        await client.post("/v1/responses", json={"model": MODEL, "input": made["output"]})
        assert "The launch is on Tuesday at noon." in model.requests[0].messages[-1].text


async def test_it_goes_on_from_a_response_that_was_kept(serving):
    async with serving([answer("one"), answer("In short."), answer("two")]) as (client, daemon):
        first = (await client.post("/v1/responses", json={"model": MODEL, "input": "a"})).json()
        made = (await compact(client, None, previous_response_id=first["id"])).json()
        assert [item["type"] for item in made["output"]] == ["message", "compaction"]
        assert "assistant: one" in daemon.tenants.machine.model.requests[1].messages[1].text


async def test_another_tenant_and_a_changed_seal_are_refused(serving):
    async with serving([answer("x")]) as (client, daemon):
        made = (await compact(client)).json()
        onward = {"model": MODEL, "input": made["output"]}
        sealed = made["output"][-1]["encrypted_content"]
        other = daemon.keys.create(now=0.0, tenant="other", scopes=["models:use"])[1]
        theirs = await client.post("/v1/responses", json=onward, headers={"authorization": f"Bearer {other}"})
        for text in (sealed[:-8] + "AAAAAAA=", "none", "ä"):
            made["output"][-1]["encrypted_content"] = text
            changed = await client.post("/v1/responses", json=onward)
            for reply in (theirs, changed):
                assert reply.status_code == 400, reply.text
                assert reply.json()["error"]["param"] == "input[1].encrypted_content"


async def test_what_cannot_be_made_short_says_why(serving):
    async with serving([answer("x")]) as (client, _):
        for body, param in (
            ({"input": "x"}, "model"),
            ({"model": MODEL}, "input"),
            ({"model": MODEL, "input": "x", "previous_response_id": "resp_none"}, "previous_response_id"),
        ):
            reply = await client.post("/v1/responses/compact", json=body)
            assert reply.status_code == 400, reply.text
            error = reply.json()["error"]
            assert error["param"] == param


async def test_a_result_that_no_call_waits_for_is_refused(serving):
    async with serving([call("x", {}), answer("x")]) as (client, _):
        lost = [{"type": "function_call_output", "call_id": "nobody", "output": "x"}]
        reply = await client.post("/v1/responses", json={"model": MODEL, "input": lost})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")
        assert "'nobody'" in reply.json()["error"]["message"]


async def test_the_phase_of_what_the_model_said_reaches_it_again(serving):
    async with serving([answer("four")]) as (client, daemon):
        said = [
            {"role": "assistant", "phase": "commentary", "content": "I look it up."},
            {"role": "assistant", "phase": "final_answer", "content": "Four."},
            {"role": "user", "content": "Again?"},
        ]
        made = (await client.post("/v1/responses", json={"model": MODEL, "input": said})).json()
        parts = [part for m in daemon.tenants.machine.model.requests[0].messages for part in m.parts]
        assert [part.phase for part in parts] == ["commentary", "final_answer", ""]
        items = (await client.get(f"/v1/responses/{made['id']}/input_items?order=asc")).json()["data"]
        assert [item.get("phase") for item in items] == ["commentary", "final_answer", None]


async def test_only_the_allowed_tools_are_offered(serving, wrong):
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("a", "b")]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "b"}]}
    body = {"model": MODEL, "input": "x", "tools": tools, "tool_choice": choice}
    async with serving([answer("x")]) as (client, daemon):
        made = (await client.post("/v1/responses", json=body)).json()
        assert wrong(made, "ResponseResource", "open-responses.json") == []
        assert made["tool_choice"] == choice
        assert [tool.name for tool in daemon.tenants.machine.model.requests[0].tools] == ["b"]
        choice["tools"][0]["name"] = "c"
        refused = await client.post("/v1/responses", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tool_choice")
