import json
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from agent_core.chat import Choice, Completion, Constraint, JsonSchema, ModelRequest, TextDelta
from agent_core.errors import ContextTooLongError
from agent_core.messages import FinishReason, user
from agent_core.ports import ChatModel
from agent_core.testing.conformance.chat_model import LONG_REPLY_TOKENS, ChatModelConformance
from agent_core.tools import ToolSpec
from agent_gateway.catalog import connect
from agent_gateway.client import HttpChatModel
from agent_gateway.errors import (
    ConstraintUnsupportedError,
    CredentialsError,
    ProviderUnavailableError,
    UnknownRemoteModelError,
    UnknownServerError,
)
from agent_gateway.transport import HttpxTransport, Timeouts

KEY = "sk-very-secret"
HELLO = ModelRequest(messages=(user("hi"),))


async def ask(model: ChatModel, request: ModelRequest = HELLO) -> list[Any]:
    return [item async for item in model.stream(request)]


async def test_a_streamed_reply(server: Any, make_script: Any, make_sse: Any, make_delta: Any) -> None:
    body = make_sse(make_delta(content="hé"), make_delta(content="llo"), make_delta("stop"))
    server.say(make_script(*(bytes([byte]) for byte in body)))
    async with HttpChatModel("m", base_url=server.base_url + "/", api_key=KEY) as model:
        first, second, completion = await ask(model)
        assert (first, second) == (TextDelta("hé"), TextDelta("llo"))
        assert completion.message.text == "héllo"
        assert completion.model == "served"
        await ask(model)
    (request, again) = server.requests
    assert request == again
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    assert request["body"]["stream"] is True
    assert server.connections == 1, "the connection is used again"


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_whole_reply(server: Any, make_script: Any, streaming: bool) -> None:
    """Asked for, or sent by a server that does not stream."""
    said = {"role": "assistant", "content": "hello"}
    reply = {"model": "served", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
    server.say(make_script(json.dumps(reply).encode(), content_type="application/json"))
    async with HttpChatModel("m", base_url=server.base_url, streaming=streaming) as model:
        delta, completion = await ask(model)
    assert (delta, completion.message.text) == (TextDelta("hello"), "hello")
    assert ("stream" in server.requests[0]["body"]) == streaming
    assert "authorization" not in server.requests[0]["headers"]


async def test_headers_of_the_callers_own(server: Any, make_script: Any) -> None:
    reply = b'{"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}'
    server.say(make_script(reply, content_type="application/json"))
    own = {"X-Title": "mine", "authorization": "Other scheme"}
    async with connect("openai:m", base_url=server.base_url, api_key=KEY, headers=own) as model:
        await ask(model)
    sent = server.requests[0]["headers"]
    assert (sent["x-title"], sent["authorization"]) == ("mine", "Other scheme")
    assert sent["content-type"] == "application/json"


async def test_keep_alives_and_no_done(server: Any, make_script: Any, make_sse: Any, make_delta: Any) -> None:
    body = make_sse(make_delta(content="a"), make_delta("length"), done=False)
    server.say(make_script(b": keep-alive\n\n", body[:-1], b": bye\n"))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        assert (await ask(model))[-1].finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("ending", ["cut", "error"])
async def test_a_reply_that_breaks_off(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any, ending: str
) -> None:
    error = [{"error": {"message": "out of memory", "code": 500}}] if ending == "error" else []
    server.say(make_script(make_sse(make_delta(content="a"), *error, done=False)))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        stream = model.stream(HELLO)
        assert await anext(stream) == TextDelta("a")
        with pytest.raises(ProviderUnavailableError, match=r"broke off|out of memory"):
            await anext(stream)


async def test_a_silent_server(server: Any, make_script: Any, make_sse: Any, make_delta: Any) -> None:
    server.say(make_script(make_sse(make_delta(content="a"), done=False), None))
    transport = HttpxTransport(timeouts=Timeouts(between_s=0.2))
    async with HttpChatModel("m", base_url=server.base_url, transport=transport) as model:
        with pytest.raises(ProviderUnavailableError, match="silent"):
            await ask(model)


@pytest.mark.parametrize(("status", "kind"), [(401, CredentialsError), (404, UnknownRemoteModelError)])
async def test_an_error_names_what_to_change_and_never_the_key(
    server: Any, make_script: Any, status: int, kind: type[Exception]
) -> None:
    server.say(make_script(b'{"error": {"message": "no"}}', status=status, content_type="application/json"))
    url = server.base_url.replace("//", "//user:password@")
    model = HttpChatModel("m", base_url=url, api_key=KEY, api_key_setting="AGENT_OPENAI_KEY")
    async with model:
        with pytest.raises(kind) as raised:
            await ask(model)
    words = f"{raised.value} {raised.value!r} {model!r}"
    assert ("AGENT_OPENAI_KEY" in words) == (status == 401)
    assert KEY not in words
    assert "password" not in words


async def test_closing_the_iterator_closes_the_connection(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    server.say(make_script(make_sse(make_delta(content="a"), done=False), None))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        stream = model.stream(HELLO)
        assert await anext(stream) == TextDelta("a")
        await stream.aclose()
        with anyio.fail_after(30):
            await server.hung_up.wait()


async def test_done_ends_a_stream_that_stays_open(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    server.say(make_script(make_sse(make_delta("stop", content="a")), None))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        began = time.monotonic()
        assert isinstance((await ask(model))[-1], Completion)
        assert time.monotonic() - began < 20


async def test_the_server_is_asked_for_its_kind_once(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    listed = make_script(b'{"data": [{"id": "m", "owned_by": "llamacpp"}]}', content_type="application/json")
    server.say(listed, make_script(make_sse(make_delta("stop", content="a"))))
    request = ModelRequest(messages=(user("hi"),), constraint=Choice(values=("a", "b")))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        await ask(model, request)
        await ask(model, request)
    assert [one["path"] for one in server.requests] == ["/v1/models", *["/v1/chat/completions"] * 2]
    assert server.requests[1]["body"]["grammar"] == 'root ::= "a" | "b"'


@pytest.mark.parametrize(
    "listed", [b'{"data": [{"id": "m", "owned_by": "someone"}]}', b"{}", b"<html>", b'{"data": 1}']
)
async def test_a_server_of_no_known_kind(server: Any, make_script: Any, listed: bytes) -> None:
    server.say(make_script(listed, content_type="application/json"))
    request = ModelRequest(messages=(user("hi"),), constraint=Choice(values=("a", "b")))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        with pytest.raises(ConstraintUnsupportedError, match="choice"):
            await ask(model, request)


async def test_a_wrong_key_is_told_of_when_the_kind_is_asked_for(server: Any, make_script: Any) -> None:
    server.say(make_script(b'{"error": {"message": "no"}}', status=401, content_type="application/json"))
    request = ModelRequest(messages=(user("hi"),), constraint=Choice(values=("a", "b")))
    async with HttpChatModel("m", base_url=server.base_url) as model:
        with pytest.raises(CredentialsError):
            await ask(model, request)


def test_an_unknown_kind_of_server() -> None:
    with pytest.raises(UnknownServerError, match=r"llama\.cpp"):
        HttpChatModel("m", base_url="http://h/v1", server="nginx")


async def test_tool_names_come_back_as_ours(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    piece = {"index": 0, "id": "c", "function": {"name": "files_list", "arguments": "{}"}}
    server.say(make_script(make_sse(make_delta(tool_calls=[piece]), make_delta("tool_calls"))))
    tool = ToolSpec(name="files.list", description="", parameters={"type": "object"})
    async with HttpChatModel("m", base_url=server.base_url) as model:
        *_, completion = await ask(model, ModelRequest(messages=(user("hi"),), tools=(tool,)))
    assert completion.message.tool_calls[0].name == "files.list"


class TestConformance(ChatModelConformance):
    """Against a server that answers by the request."""

    constraints: tuple[Constraint, ...] = (
        Choice(values=("yes", "no")),
        JsonSchema(schema={"type": "object", "required": ["a"]}),
    )
    too_long = "word " * 200

    @pytest.fixture(autouse=True)
    def _server(self, server: Any, make_script: Any, make_sse: Any, make_delta: Any) -> None:
        def reply(body: dict[str, Any]) -> Any:
            text = "hello"
            if "structured_outputs" in body:
                text = "yes"
            if "response_format" in body:
                text = '{"a": 1}'
            if len(body["messages"][-1]["content"]) > 500:
                error = {
                    "code": "context_length_exceeded",
                    "message": "maximum context length is 90 tokens, has 200 tokens",
                }
                return make_script(
                    json.dumps({"error": error}).encode(), status=400, content_type="application/json"
                )
            start = make_sse(*(make_delta(content=one) for one in text), done=False)
            slow = (0.02,) * 500 if body.get("max_tokens") == LONG_REPLY_TOKENS else ()
            return make_script(start, *slow, make_sse(make_delta("stop")))

        class Replies(list[Any]):
            def __len__(self) -> int:
                return 1

            def __getitem__(self, _: Any) -> Any:
                return reply(server.requests[-1]["body"])

        server.scripts = Replies()
        self.base_url = server.base_url

    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        return HttpChatModel("m", base_url=self.base_url, server="vllm")


async def test_context_errors_carry_the_numbers(server: Any, make_script: Any) -> None:
    error = {
        "code": 400,
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 7,
        "n_ctx": 5,
        "message": "too long",
    }
    server.say(
        make_script(json.dumps({"error": error}).encode(), status=400, content_type="application/json")
    )
    async with HttpChatModel("m", base_url=server.base_url) as model:
        with pytest.raises(ContextTooLongError) as raised:
            await ask(model)
    assert (raised.value.tokens, raised.value.limit) == (7, 5)
