"""What is recorded, what is left out, and that it plays the same."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import ModelRequest
from agent_core.messages import user
from agent_gateway.catalog import connect
from agent_gateway.errors import CredentialsError, ProviderUnavailableError, RecordingError
from agent_gateway.recording import Exchange, RecordingTransport, ReplayTransport, recorded
from agent_gateway.redaction import clean_body, clean_headers, clean_url, secrets_in
from agent_gateway.transport import HttpCall

KEY = "not-in-any-known-form-4711"
HELLO = ModelRequest(messages=(user("hi"),))


async def ask(transport: Any, base_url: str, request: ModelRequest = HELLO, key: str = KEY) -> list[Any]:
    model = connect("openai:m", base_url=base_url, api_key=key, transport=transport)
    async with model:
        return [item async for item in model.stream(request)]


async def test_a_stream_plays_as_it_was_without_a_server(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any, tmp_path: Path
) -> None:
    body = make_sse(make_delta(content="hé"), make_delta(content="llo 😀"), make_delta("stop"))
    server.say(make_script(*(bytes([byte]) for byte in body)))
    path = tmp_path / "cassettes" / "hello.jsonl"
    live = await ask(recorded(path), server.base_url)
    pieces = msgspec.json.decode(path.read_bytes(), type=Exchange).pieces
    assert b"".join(pieces) == body
    assert len(pieces) > 3
    server.say(make_script(b"", status=500))
    replay = recorded(path)
    assert isinstance(replay, ReplayTransport)
    assert replay.left == 1
    assert await ask(replay, server.base_url) == live
    assert (replay.left, len(server.requests)) == (0, 1)


async def test_no_secret_is_written(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any, tmp_path: Path
) -> None:
    echo = f"the key was {KEY} of org-AbCdEfGhIjKlMnOp, mine is sk-proj-abcdefghijklmnop123"
    half = len(echo) // 3
    server.say(
        make_script(
            make_sse(make_delta(content=echo[:half])),
            make_sse(make_delta(content=echo), make_delta("stop")),
            headers={
                "set-cookie": "session=cookie-secret",
                "x-request-id": "req-secret",
                "x-ratelimit-limit": "5",
            },
        )
    )
    path = tmp_path / "r.jsonl"
    url = server.base_url.replace("//", "//someone:password@") + "/"
    request = ModelRequest(messages=(user(f"use {KEY} and my own"),))
    await ask(RecordingTransport(path, secrets=["my own"]), url, request)
    text = path.read_text()
    for secret in (
        KEY,
        "password",
        "someone",
        "cookie-secret",
        "req-secret",
        "AbCdEfGh",
        "abcdefghijkl",
        "my own",
    ):
        assert secret not in text, secret
    exchange = msgspec.json.decode(text, type=Exchange)
    assert exchange.headers["x-ratelimit-limit"] == "5"
    # Whoever replays it has another key.
    other = ModelRequest(messages=(user("use " + "X" * len(KEY) + " and my own"),))
    assert await ask(ReplayTransport(path, secrets=["my own"]), server.base_url, other, key="another")


async def test_an_error_plays_as_an_error(server: Any, make_script: Any, tmp_path: Path) -> None:
    body = b'{"error": {"message": "no"}}'
    server.say(make_script(body, status=401, content_type="application/json"))
    path = tmp_path / "r.jsonl"
    for transport in (RecordingTransport(path), None):
        with pytest.raises(CredentialsError):
            await ask(transport or ReplayTransport(path), server.base_url)


async def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    said: list[str] = []
    for transport in (RecordingTransport(path), None):
        with pytest.raises(ProviderUnavailableError) as raised:
            await ask(transport or ReplayTransport(path), "http://127.0.0.1:9/v1")
        said.append(str(raised.value))
    assert said[0] == said[1]


async def test_a_reply_that_breaks_off_plays_as_one(server: Any, tmp_path: Path) -> None:
    import asyncio

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        writer.write(b"9\r\ndata: {}\n\r\n")
        await writer.drain()
        writer.transport.abort()

    listener = await asyncio.start_server(half, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    path = tmp_path / "r.jsonl"
    for transport in (RecordingTransport(path), None):
        with pytest.raises(ProviderUnavailableError):
            await ask(transport or ReplayTransport(path), url)
        listener.close()
    exchange = msgspec.json.decode(path.read_bytes(), type=Exchange)
    assert exchange.failure


async def test_equal_requests_play_in_order_and_end(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any, tmp_path: Path
) -> None:
    server.say(*(make_script(make_sse(make_delta("stop", content=text))) for text in "ab"))
    path = tmp_path / "r.jsonl"
    recording = RecordingTransport(path)
    for _ in range(2):
        await ask(recording, server.base_url)
    replay = ReplayTransport(path)
    said = [(await ask(replay, server.base_url))[-1].message.text for _ in range(2)]
    assert said == ["a", "b"]
    with pytest.raises(RecordingError, match=r"no further reply to this POST.*record it again"):
        await ask(replay, server.base_url)
    with pytest.raises(RecordingError, match="no reply to"):
        await ask(replay, server.base_url, ModelRequest(messages=(user("else"),)))


async def test_modes(server: Any, make_script: Any, make_sse: Any, make_delta: Any, tmp_path: Path) -> None:
    server.say(make_script(make_sse(make_delta("stop", content="a"))))
    path = tmp_path / "r.jsonl"
    with pytest.raises(RecordingError, match=r"r\.jsonl"):
        recorded(path, mode="replay")
    await ask(recorded(path), server.base_url)
    assert isinstance(recorded(path), ReplayTransport)
    await ask(recorded(path, mode="record"), server.base_url)
    assert len(path.read_text().splitlines()) == 1, "begun anew"
    path.write_text("no json\n")
    with pytest.raises(RecordingError):
        recorded(path)


async def test_bytes_that_are_no_text(tmp_path: Path, server: Any, make_script: Any) -> None:
    path = tmp_path / "r.jsonl"
    server.say(make_script(b"\xff\xfe", b"\x00", content_type="application/octet-stream"))
    call = HttpCall(url=server.base_url, where="w", headers={}, method="GET")
    recording = RecordingTransport(path)
    for transport in (recording, None):
        async with (transport or ReplayTransport(path)).send(call) as reply:
            assert await reply.read() == b"\xff\xfe\x00"
    await recording.aclose()


def test_addresses() -> None:
    for url, clean in {
        "https://h/v1?key=abcdef&alt=sse": "https://h/v1?key=XXXXXX&alt=sse",
        "https://u:p@h:8/v1#x": "https://h:8/v1",
        "https://h/v1?X-Signature=ab": "https://h/v1?X-Signature=XX",
        "https://h/v1": "https://h/v1",
    }.items():
        assert clean_url(url) == clean
    found = secrets_in(
        "https://user12:passw0rd@h/?key=abcdefgh&q=harmless1",
        {
            "Authorization": "Bearer tok-123456",
            "x-api-key": "key-123456",
            "Content-Type": "application/json",
            "x": "1",
        },
    )
    assert found == {"user12", "passw0rd", "abcdefgh", "tok-123456", "key-123456"}
    assert clean_headers({"content-type": "a", "set-cookie": "b", "retry-after": "1"}) == {
        "content-type": "a",
        "retry-after": "1",
    }


FORMS = [
    "sk-proj-Abcdef0123456789_-x",
    "sk-ant-api03-Abcdef0123456789",
    "gsk_Abcdef0123456789abcd",
    "xai-Abcdef0123456789abcd",
    "AIzaSyA-0123456789abcdefghijklmnopqrs",
    "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4",
    "Bearer abcdefgh12345",
    "org-Abcdef0123456789",
]


@pytest.mark.parametrize("form", FORMS)
def test_what_looks_like_a_key_is_removed(form: str) -> None:
    body = f'{{"error": "wrong key {form}, see x"}}'.encode()
    clean = clean_body(body, ())
    assert form[8:].encode() not in clean
    assert len(clean) == len(body)


@given(st.binary(), st.lists(st.text(min_size=6, max_size=12), max_size=4))
def test_the_length_stays(body: bytes, secrets: list[str]) -> None:
    clean = clean_body(body, secrets)
    assert len(clean) == len(body)
    assert clean_body(clean, secrets) == clean or b"X" in clean
