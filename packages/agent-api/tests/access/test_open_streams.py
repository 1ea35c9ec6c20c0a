"""A stream that is open ends with its key."""

import pytest

from agent_api.access import open_streams
from agent_api.access.open_streams import CLOSED_BY_KEY, OpenStream

PIECE = {"type": "http.response.body", "body": b"x", "more_body": True}
SAID = {"type": "websocket.send", "text": "x"}


@pytest.fixture
def stream(monkeypatch):
    """A stream, what it sent, and a key that can be ended."""
    monkeypatch.setattr(open_streams, "CHECK_S", 0.0)
    sent, keys = [], [True]

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.receive", "text": "go on"}

    return OpenStream(send, receive, lambda: keys[0]), sent, keys


async def test_a_stream_of_events_ends_with_its_key_and_says_nothing_more(stream):
    open_stream, sent, keys = stream
    await open_stream.send(PIECE)
    keys[0] = False
    await open_stream.send(PIECE)
    await open_stream.send(PIECE)
    assert sent == [PIECE, {"type": "http.response.body", "body": b"", "more_body": False}]


async def test_the_last_piece_of_a_reply_is_sent_whole(stream):
    open_stream, sent, keys = stream
    keys[0] = False
    last = {"type": "http.response.body", "body": b"whole"}
    await open_stream.send(last)
    assert sent == [last]


async def test_a_websocket_is_closed_with_its_key_and_nothing_that_is_said_there_is_heard(stream):
    open_stream, sent, keys = stream
    await open_stream.send(SAID)
    assert (await open_stream.receive())["type"] == "websocket.receive"
    keys[0] = False
    for _ in range(2):
        assert await open_stream.receive() == {"type": "websocket.disconnect", "code": CLOSED_BY_KEY}
    await open_stream.send(SAID)
    assert [message["type"] for message in sent] == ["websocket.send", "websocket.close"]
    assert sent[-1]["code"] == CLOSED_BY_KEY
