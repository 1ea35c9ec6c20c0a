"""A picture or a file for a model that reads text alone: it is declined in words, and told of in later turns."""

import pytest

from agent_core.chat import ModelProfile, ToolMode
from agent_core.testing import answer

BLIND = "local:blind"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PAPER = "data:application/pdf;base64,JVBERi0="
SEEN = {"type": "input_image", "image_url": PIXEL}
READ = {"type": "input_file", "filename": "paper.pdf", "file_data": PAPER}


@pytest.fixture
def blind(serving):
    """A daemon whose model is one of this process, and reads text alone."""

    def opened(*replies, name=BLIND):
        return serving([answer(reply) for reply in replies]), ModelProfile(
            name=name, tool_mode=ToolMode.ROUTED
        )

    return opened


def asked(*parts, **fields):
    said = [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, *parts]}]
    return {"model": "agent", "input": said, **fields}


@pytest.mark.parametrize("model", ["agent", BLIND])
@pytest.mark.parametrize("shown", [SEEN, READ])
async def test_what_a_model_cannot_look_at_is_declined_and_nobody_is_asked(blind, wrong, model, shown):
    opened, profile = blind()
    async with opened as (client, daemon):
        daemon.tenants.machine.model._profile = profile
        made = (await client.post("/v1/responses", json=asked(shown, model=model))).json()
        assert made["status"] == "completed"
        (part,) = made["output"][0]["content"]
        assert part["type"] == "refusal"
        assert BLIND in part["refusal"]
        assert made["usage"]["total_tokens"] == 0
        assert wrong(made, "ResponseResource", "open-responses.json") == []
        assert daemon.tenants.machine.model.requests == []


async def test_a_stream_and_a_chat_completion_decline_as_well(blind, frames, wrong_event):
    opened, profile = blind()
    async with opened as (client, daemon):
        daemon.tenants.machine.model._profile = profile
        *events, _ = frames((await client.post("/v1/responses", json=asked(SEEN, stream=True))).text)
        assert "response.refusal.done" in [event["type"] for event in events]
        for event in events:
            assert wrong_event(event) == []
        said = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
        body = {"model": "agent", "messages": [{"role": "user", "content": said}]}
        choice = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]
        assert choice["message"]["content"] is None
        assert BLIND in choice["message"]["refusal"]


async def test_the_conversation_goes_on_with_a_note_in_the_place_of_the_picture(blind):
    opened, profile = blind("A heart, then.")
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        first = (await client.post("/v1/responses", json=asked(SEEN))).json()
        onward = {"model": BLIND, "input": "It is a heart.", "previous_response_id": first["id"]}
        second = (await client.post("/v1/responses", json=onward)).json()
        assert second["output"][0]["content"][0]["text"] == "A heart, then."
        (request,) = model.requests
        assert "[a picture, which you cannot look at]" in request.messages[0].text


async def test_in_the_background_it_is_refused_at_once(blind):
    opened, profile = blind()
    async with opened as (client, daemon):
        daemon.tenants.machine.model._profile = profile
        reply = await client.post("/v1/responses", json=asked(SEEN, background=True))
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "input"


async def test_a_model_of_a_server_is_shown_the_picture_for_it_may_see(blind):
    opened, profile = blind("A heart.", name="openai:unknown")
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        made = (await client.post("/v1/responses", json=asked(SEEN, model="openai:unknown"))).json()
        assert made["output"][0]["content"][0]["text"] == "A heart."
        assert model.requests[0].messages[0].parts[1].media_type == "image/png"


async def test_a_picture_in_the_result_of_a_call_reaches_the_model(blind):
    opened, profile = blind("A heart.", "A heart.", name="openai:unknown")
    async with opened as (client, daemon):
        model = daemon.tenants.machine.model
        model._profile = profile
        call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
        output = [{"type": "input_text", "text": "done"}, SEEN]
        back = {"type": "function_call_output", "call_id": "c1", "output": output}
        said = [{"role": "user", "content": "Look."}, call, back]
        reply = await client.post("/v1/responses", json={"model": "openai:unknown", "input": said})
        assert reply.status_code == 200, reply.text
        (result,) = model.requests[0].messages[-1].tool_results
        assert result.content == "done"
        assert [one.media_type for one in result.attachments] == ["image/png"]
