"""Responses and conversations: their shapes, what goes on from what, the background, and what is kept for whom."""

import json

import anyio
import pytest

from agent_core.errors import ModelUnavailableError
from agent_core.messages import Message, Reasoning, Text
from agent_core.testing import answer, call

AGENT, MODEL = "agent", "test:scripted"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


async def respond(client, model=MODEL, text="hello", **fields):
    reply = await client.post("/v1/responses", json={"model": model, "input": text, **fields})
    assert reply.status_code == 200, reply.text
    return reply


def text_of(response):
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def asked(daemon):
    return [
        [message.text for message in request.messages] for request in daemon.tenants.machine.model.requests
    ]


@pytest.mark.parametrize("model", [AGENT, MODEL])
async def test_every_field_is_there_and_null_where_it_is_empty(serving, wrong, model):
    async with serving([answer("one two")]) as (client, _):
        response = (await respond(client, model)).json()
        assert text_of(response) == "one two"
        assert (response["status"], response["usage"]["output_tokens"]) == ("completed", 2)
        assert wrong(response, "ResponseResource", "open-responses.json") == []
        assert wrong(response, "Response") == []
        assert (await client.get(f"/v1/responses/{response['id']}")).json() == response


@pytest.mark.parametrize("model", [AGENT, MODEL])
@pytest.mark.parametrize(
    "reply",
    [
        answer("one two three"),
        Message(role="assistant", parts=(Reasoning(text="Hm."), Text(text="yes"))),
        Message(role="assistant", parts=(Text(text="No.", refusal=True),)),
    ],
)
async def test_the_events_of_a_stream_are_typed_and_numbered(serving, frames, wrong_event, model, reply):
    async with serving([reply]) as (client, _):
        raw = (await respond(client, model, stream=True)).text
        *events, done = frames(raw)
        assert done == "[DONE]"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        kinds = [event["type"] for event in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-1] == "response.completed"
        for event in events:
            assert wrong_event(event) == []
        deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        final = events[-1]["response"]
        assert deltas == "".join(
            part.get("text", "") for item in final["output"] for part in item.get("content", ())
        )
        added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
        assert [item["id"] for item in final["output"]] == added
        assert (await client.get(f"/v1/responses/{final['id']}")).json() == final


async def test_calls_of_client_side_tools_are_handed_back_and_their_results_taken(
    serving, frames, wrong, wrong_event
):
    script = [call("weather", {"city": "Oslo"}), answer("Rain."), call("weather", {"city": "Oslo"})]
    async with serving(script) as (client, daemon):
        first = (await respond(client, AGENT, "Weather?", tools=[TOOL])).json()
        (made,) = first["output"]
        assert (made["type"], json.loads(made["arguments"])) == ("function_call", {"city": "Oslo"})
        assert wrong(first, "ResponseResource", "open-responses.json") == []
        back = [{"type": "function_call_output", "call_id": made["call_id"], "output": "rain"}]
        second = (await respond(client, AGENT, back, tools=[TOOL], previous_response_id=first["id"])).json()
        assert text_of(second) == "Rain."
        roles = [message.role for message in daemon.tenants.machine.model.requests[1].messages]
        assert roles == ["system", "user", "assistant", "tool"]
        *events, _ = frames((await respond(client, MODEL, "Weather?", tools=[TOOL], stream=True)).text)
        kinds = [event["type"] for event in events]
        assert "response.function_call_arguments.delta" in kinds
        for event in events:
            assert wrong_event(event) == []


@pytest.mark.parametrize("model", [AGENT, MODEL])
async def test_a_response_goes_on_from_another_without_its_instructions(serving, model):
    async with serving([answer("one"), answer("two"), answer("three")]) as (client, daemon):
        first = (await respond(client, model, "a", instructions="Old.")).json()
        second = (await respond(client, model, "b", previous_response_id=first["id"])).json()
        third = await respond(client, model, "c", previous_response_id=second["id"], instructions="New.")
        assert text_of(third.json()) == "three"
        assert asked(daemon)[2] == ["New.", "a", "one", "b", "two", "c"]
        items = (await client.get(f"/v1/responses/{second['id']}/input_items")).json()
        assert [item["content"][0]["text"] for item in items["data"]] == ["b"]
        assert (await client.delete(f"/v1/responses/{first['id']}")).json()["deleted"] is True
        assert (await client.get(f"/v1/responses/{first['id']}")).status_code == 404
        lost = await client.post(
            "/v1/responses", json={"model": model, "input": "d", "previous_response_id": second["id"]}
        )
        assert (lost.status_code, lost.json()["error"]["param"]) == (400, "previous_response_id")


async def test_what_is_not_to_be_stored_is_not(serving):
    async with serving([answer("x")]) as (client, _):
        response = (await respond(client, store=False)).json()
        assert response["store"] is False
        assert (await client.get(f"/v1/responses/{response['id']}")).status_code == 404


async def test_in_the_background_a_response_is_looked_at_until_it_is_done(serving):
    async with serving([call("calculator", {"expression": "6*7"}), answer("42")]) as (client, _):
        response = (await respond(client, AGENT, "6*7?", background=True)).json()
        assert (response["status"], response["output"]) == ("in_progress", [])
        with anyio.fail_after(10):
            while response["status"] == "in_progress":
                response = (await client.get(f"/v1/responses/{response['id']}")).json()
                await anyio.sleep(0.01)
        assert (response["status"], text_of(response)) == ("completed", "42")
        again = (await client.post(f"/v1/responses/{response['id']}/cancel")).json()
        assert again["status"] == "completed"


async def test_in_the_background_a_response_is_cancelled(serving):
    async with serving([answer("x")]) as (client, daemon):

        async def never(request):
            await anyio.sleep_forever()
            yield

        daemon.tenants.machine.model.stream = never
        response = (await respond(client, AGENT, background=True)).json()
        cancelled = (await client.post(f"/v1/responses/{response['id']}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        assert (await client.get(f"/v1/responses/{response['id']}")).json() == cancelled


async def test_a_conversation_holds_what_was_said(serving, wrong):
    async with serving([answer("one"), answer("two")]) as (client, daemon):
        first = {"type": "message", "role": "user", "content": "before"}
        made = (
            await client.post("/v1/conversations", json={"items": [first], "metadata": {"a": "b"}})
        ).json()
        assert wrong(made, "ConversationResource") == []
        path = f"/v1/conversations/{made['id']}"
        await respond(client, AGENT, "a", conversation=made["id"])
        *_, done = (
            await respond(client, MODEL, "b", conversation={"id": made["id"]}, stream=True)
        ).text.split()
        assert done == "[DONE]"
        assert asked(daemon)[1] == ["before", "a", "one", "b"]
        listed = (await client.get(f"{path}/items", params={"order": "asc"})).json()
        assert wrong(listed, "ConversationItemList") == []
        assert [item["content"][0]["text"] for item in listed["data"]] == ["before", "a", "one", "b", "two"]
        page = (await client.get(f"{path}/items", params={"limit": 2})).json()
        assert (page["has_more"], page["last_id"]) == (True, listed["data"][3]["id"])
        rest = (await client.get(f"{path}/items", params={"limit": 3, "after": page["last_id"]})).json()
        assert (rest["has_more"], rest["data"]) == (False, listed["data"][2::-1])
        item = listed["data"][0]
        assert (await client.get(f"{path}/items/{item['id']}")).json() == item
        assert (await client.delete(f"{path}/items/{item['id']}")).status_code == 200
        assert (await client.get(f"{path}/items/{item['id']}")).status_code == 404
        added = (await client.post(f"{path}/items", json={"items": [first]})).json()
        assert added["data"][0]["id"] != item["id"]
        assert (await client.post(path, json={"metadata": {"c": "d"}})).json()["metadata"] == {"c": "d"}
        gone = (await client.delete(path)).json()
        assert wrong(gone, "DeletedConversationResource") == []
        assert (await client.get(path)).status_code == 404


async def test_a_client_that_goes_away_leaves_its_answer_in_the_conversation(serving):
    gone, came = anyio.Event(), anyio.Event()
    async with serving([answer("all the same")]) as (client, daemon):
        model = daemon.tenants.machine.model
        told = model.stream

        async def slow(request):
            came.set()
            await gone.wait()
            async for item in told(request):
                yield item

        model.stream = slow
        made = (await client.post("/v1/conversations", json={})).json()
        async with anyio.create_task_group() as tasks:
            body = {"model": AGENT, "input": "a", "conversation": made["id"]}
            tasks.start_soon(lambda: client.post("/v1/responses", json=body))
            await came.wait()
            tasks.cancel_scope.cancel()
        gone.set()
        with anyio.fail_after(10):
            while True:
                listed = (await client.get(f"/v1/conversations/{made['id']}/items")).json()["data"]
                if len(listed) == 2:
                    break
                await anyio.sleep(0.01)
        assert listed[0]["content"][0]["text"] == "all the same"


async def test_another_tenant_sees_none_of_it(serving):
    async with serving([answer("x")]) as (client, daemon):
        response = (await respond(client)).json()
        other = daemon.keys.create(now=0.0, tenant="other")[1]
        headers = {"authorization": f"Bearer {other}"}
        there = await client.get(f"/v1/responses/{response['id']}", headers=headers)
        assert there.status_code == 404
        body = {"model": MODEL, "input": "x", "previous_response_id": response["id"]}
        on = await client.post("/v1/responses", json=body, headers=headers)
        assert on.status_code == 400


async def test_a_wrong_request_is_told_by_its_field(serving):
    cases = [
        ({"model": "gpt-9"}, 404, "model"),
        ({"input": []}, 400, "input"),
        ({"input": [{"role": "user", "content": 3}]}, 400, "input[0].content"),
        ({"input": [{"type": "computer_call"}]}, 400, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "input[0]"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "y"}}, 400, "tool_choice"),
        ({"background": True}, 400, "background"),
        ({"background": True, "store": False, "model": AGENT}, 400, "store"),
        ({"background": True, "stream": True}, 400, "background"),
        ({"conversation": "c", "previous_response_id": "r"}, 400, "previous_response_id"),
        ({"previous_response_id": "r"}, 400, "previous_response_id"),
        ({"top_p": 3}, 400, "top_p"),
    ]
    async with serving([answer("x")]) as (client, _):
        for fields, status, param in cases:
            reply = await client.post("/v1/responses", json={"model": MODEL, "input": "hi", **fields})
            assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), (
                fields,
                reply.text,
            )
        missing = await client.post(
            "/v1/responses", json={"model": MODEL, "input": "hi", "conversation": "c"}
        )
        assert missing.status_code == 404
        response = (await respond(client)).json()
        for request in (
            client.post(f"/v1/responses/{response['id']}/cancel"),
            client.get(f"/v1/responses/{response['id']}", params={"stream": True}),
        ):
            assert (await request).status_code == 400


async def test_a_model_that_cannot_be_asked(serving, frames):
    async with serving([ModelUnavailableError("gone fishing")]) as (client, _):
        for model in (AGENT, MODEL):
            reply = await client.post("/v1/responses", json={"model": model, "input": "x"})
            assert reply.status_code == 503
            assert "gone fishing" in reply.json()["error"]["message"]
        *_, failed, _ = frames((await respond(client, AGENT, stream=True)).text)
        assert failed["type"] == "response.failed"
        assert "gone fishing" in failed["response"]["error"]["message"]


async def test_a_summary_without_its_text_is_refused(serving):
    async with serving([answer("x")]) as (client, _):
        for summary in ([{"type": "summary_text"}], [{"type": None, "text": "x"}]):
            thought = {"type": "reasoning", "id": "rs_1", "summary": summary}
            reply = await client.post("/v1/conversations", json={"items": [thought]})
            assert (reply.status_code, reply.json()["error"]["param"][:8]) == (400, "items[0]")
