"""Unusual but legal requests, as clients of others send them: each is understood, or refused with the field that is wrong."""

import pytest

from agent_core.messages import File, Image
from agent_core.testing import answer

MODEL = "test:scripted"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
NOTE = "data:text/plain;base64,aGk="


async def respond(client, said, status=200, **fields):
    reply = await client.post("/v1/responses", json={"model": MODEL, "input": said, **fields})
    assert reply.status_code == status, reply.text
    return reply.json()


async def chat(client, messages, status=200, **fields):
    reply = await client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages, **fields})
    assert reply.status_code == status, reply.text
    return reply.json()


async def test_fields_that_are_null_are_as_good_as_left_out(serving):
    async with serving([answer("Fine."), answer("Fine.")]) as (client, daemon):
        shown = {"type": "input_image", "image_url": PIXEL, "file_id": None, "detail": None}
        read = {"type": "input_file", "file_data": NOTE, "file_id": None, "file_url": None, "filename": "a"}
        told = {"type": "output_text", "text": "b", "annotations": [], "logprobs": None}
        thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "status": None}
        said = [
            {"role": "user", "content": "a", "phase": None},
            thought,
            {"type": "message", "role": "assistant", "id": None, "status": None, "content": [told]},
            {"type": None, "role": "user", "content": [shown, read]},
        ]
        await respond(client, said)
        parts = [
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": None}},
            {"type": "file", "file": {"file_id": None, "filename": None, "file_data": NOTE}},
        ]
        echoed = {"role": "assistant", "content": "b", "refusal": None, "tool_calls": None, "audio": None}
        await chat(client, [{"role": "user", "content": "a"}, echoed, {"role": "user", "content": parts}])
        for asked in daemon.tenants.machine.model.requests:
            kinds = [type(part) for part in asked.messages[-1].parts]
            assert kinds == [Image, File]


async def test_what_openai_s_own_classes_make_of_an_answer_is_taken_back(serving):
    async with serving([answer("Fine."), answer("Fine.")]) as (client, _):
        first = await respond(client, "hi")
        echoed = [{**item, "phase": None} for item in first["output"]]
        await respond(client, [{"role": "user", "content": "hi"}, *echoed, {"role": "user", "content": "on"}])


async def test_a_picture_by_the_id_of_a_file_is_refused_for_no_files_are_kept(serving):
    async with serving([]) as (client, _):
        said = [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]
        error = (await respond(client, said, status=400))["error"]
        assert error["param"] == "input[0].content[0]"
        assert "image_url" in error["message"]


async def test_likelihoods_of_another_server_are_kept_whole(serving, wrong):
    async with serving([]) as (client, _):
        likely = {"token": "a", "logprob": 0, "bytes": None}
        told = {"type": "output_text", "text": "a", "annotations": [], "logprobs": [likely]}
        said = {"type": "message", "role": "assistant", "content": [told], "phase": None}
        made = (await client.post("/v1/conversations", json={"items": [said]})).json()
        kept = (await client.get(f"/v1/conversations/{made['id']}/items")).json()["data"]
        assert wrong(kept[0], "ConversationItem") == []
        whole = {"token": "a", "logprob": 0, "bytes": [], "top_logprobs": []}
        assert kept[0]["content"][0]["logprobs"] == [whole]


@pytest.mark.parametrize(
    ("annotation", "status"),
    [
        ({"type": "url_citation", "url": "https://a.b", "start_index": 0, "end_index": 1, "title": "A"}, 200),
        ({"type": "url_citation", "url": "", "start_index": 0, "end_index": 1, "title": "A"}, 400),
        ({"type": "file_path", "file_id": "f"}, 400),
        ({"type": {}, "url": "https://a.b"}, 400),
    ],
)
async def test_citations_of_another_server_are_kept_or_refused(serving, wrong, annotation, status):
    async with serving([]) as (client, _):
        told = {"type": "output_text", "text": "a", "annotations": [annotation]}
        reply = await client.post(
            "/v1/conversations", json={"items": [{"role": "assistant", "content": [told]}]}
        )
        assert reply.status_code == status, reply.text
        if status == 200:
            (kept,) = (await client.get(f"/v1/conversations/{reply.json()['id']}/items")).json()["data"]
            assert kept["content"][0]["annotations"] == [annotation]
            assert wrong(kept, "ConversationItem") == []


async def test_a_file_is_at_an_address(serving):
    async with serving([]) as (client, _):
        for url in ("AAA", "file:///etc/passwd"):
            said = [{"role": "user", "content": [{"type": "input_file", "file_url": url, "file_data": None}]}]
            error = (await respond(client, said, status=400))["error"]
            assert error["param"] == "input[0].content[0]"


async def test_a_sound_in_a_chat_reaches_the_model(serving):
    async with serving([answer("Fine.")]) as (client, daemon):
        sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
        await chat(client, [{"role": "user", "content": [sound]}])
        (part,) = daemon.tenants.machine.model.requests[0].messages[0].parts
        assert (part.media_type, part.data) == ("audio/wav", b"hi")


async def test_a_result_that_no_call_waits_for_is_refused(serving):
    async with serving([]) as (client, _):
        messages = [{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "c9", "content": "x"}]
        error = (await chat(client, messages, status=400))["error"]
        assert error["param"] == "messages[1].tool_call_id"


@pytest.mark.parametrize("said", ["", "  ", [{"role": "user", "content": []}]])
async def test_the_agent_is_not_asked_nothing(serving, said):
    async with serving([]) as (client, _):
        error = (await respond(client, said, status=400, model="agent"))["error"]
        assert error["param"] == "input"


async def test_instructions_are_not_taken_over_from_the_response_before(serving):
    async with serving([answer("One."), answer("Two.")]) as (client, daemon):
        first = await respond(client, "hi", instructions="Be brief.")
        second = await respond(client, "on", instructions="Be long.", previous_response_id=first["id"])
        assert second["instructions"] == "Be long."
        told = [m.text for m in daemon.tenants.machine.model.requests[1].messages if m.role == "system"]
        assert told == ["Be long."]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/completions"), ("GET", "/v1/chat/completions")])
async def test_what_is_not_served_says_so_in_openai_s_shape(serving, method, path):
    async with serving([]) as (client, _):
        reply = await client.request(method, path)
        error = reply.json()["error"]
        assert reply.status_code in {404, 405}
        assert error["code"] == "unknown_url"
        assert f"{method} {path}" in error["message"]


async def test_an_empty_body_is_named_as_such(serving):
    async with serving([]) as (client, _):
        reply = await client.post("/v1/responses", headers={"content-type": "application/json"}, content=b"")
        assert reply.status_code == 400
        assert "no body" in reply.json()["error"]["message"]
