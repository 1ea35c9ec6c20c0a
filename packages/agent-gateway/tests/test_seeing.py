from typing import Any

import pytest

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.messages import File, Image, Message, Opaque, user
from agent_core.tools import ToolCall, ToolResult
from agent_gateway import connect
from agent_gateway.seeing import as_seen

PICTURE = Image(data=b"png")
SEALED = Opaque(origin="openai_responses", item={"type": "x"})
RESULT = ToolResult(
    tool_call_id="c", content="[image]", attachments=(PICTURE, File(data=b"%PDF"), SEALED), labels=()
)
REQUEST = ModelRequest(
    messages=(
        Message(role="user", parts=(PICTURE,)),
        Message(role="assistant", parts=(ToolCall(tool_call_id="c", name="look", arguments={}),)),
        Message(role="tool", parts=(RESULT,)),
    )
)


def test_a_model_that_looks_at_images_is_shown_all() -> None:
    assert as_seen(REQUEST, ModelProfile(name="m", vision=True)) is REQUEST


def test_another_reads_the_words_of_a_tool_and_is_shown_what_a_person_attached() -> None:
    seen = as_seen(REQUEST, ModelProfile(name="m"))
    assert seen.messages[:2] == list(REQUEST.messages[:2])
    (result,) = seen.messages[2].tool_results
    assert (result.content, result.attachments) == ("[image]", (SEALED,))


def test_a_request_without_media_is_passed_on_as_it_is() -> None:
    request = ModelRequest(
        messages=(user("hi"), Message(role="tool", parts=(ToolResult(tool_call_id="c", content="x"),)))
    )
    assert as_seen(request, ModelProfile(name="m")) is request


@pytest.mark.parametrize("vision", [True, False])
async def test_what_a_tool_attached_is_sent_to_who_is_known_to_see(
    vision: bool, server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    server.say(make_script(make_sse(make_delta(content="ok"), make_delta("stop"))))
    async with connect("openai:own", base_url=server.base_url, api_key="k", vision=vision) as model:
        assert model.profile.vision is vision
        request = ModelRequest(messages=REQUEST.messages[1:])
        assert [item async for item in model.stream(request)]
    assert ("image_url" in str(server.requests[0]["body"])) is vision
