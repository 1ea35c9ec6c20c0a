"""Replies in pieces: how they end, and what becomes of them when the client goes."""

import asyncio

import pytest
from litestar import Litestar, get

from agent_api.pieces import Last, Pieces, PiecesResponse

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": [],
    "http_version": "1.1",
    "client": None,
    "server": None,
    "scheme": "http",
    "root_path": "",
    "asgi": {"version": "3.0"},
    "state": {},
}


class Served:
    """An application with one stream, asked once: what it sent, and whether its iterator was ended."""

    def __init__(self, *given, waits=False):
        self.sent, self.has_ended, self.gone = [], asyncio.Event(), asyncio.Event()
        self.has_begun = asyncio.Event()

        async def pieces():
            try:
                for piece in given:
                    yield piece
                if waits:
                    await asyncio.Event().wait()
            finally:
                self.has_ended.set()

        @get("/")
        async def stream() -> Pieces:
            return Pieces(pieces(), media_type="text/event-stream", headers={"x-own": "1"})

        self._app = Litestar([stream], openapi_config=None, logging_config=None)

    async def ask(self):
        async def receive():
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            self.sent.append(message)
            if message["type"] == "http.response.body":
                self.has_begun.set()

        await self._app(dict(SCOPE, headers=[]), receive, send)

    @property
    def bodies(self):
        return [(bytes(one["body"]), one["more_body"]) for one in self.sent[1:]]


@pytest.mark.parametrize(
    ("given", "bodies"),
    [
        ([b"a", b"b"], [(b"a", True), (b"b", True), (b"", False)]),
        ([b"a", Last(b"b")], [(b"a", True), (b"b", False)]),
        ([Last(b"a")], [(b"a", False)]),
        ([], [(b"", False)]),
    ],
)
async def test_a_reply_ends_once_with_its_last_piece_or_behind_it(given, bodies):
    served = Served(*given)
    await served.ask()
    assert served.bodies == bodies
    assert served.has_ended.is_set()
    assert {b"x-own": b"1", b"content-type": b"text/event-stream; charset=utf-8"}.items() <= dict(
        served.sent[0]["headers"]
    ).items()


async def test_a_client_that_goes_ends_the_iterator_and_leaves_no_task():
    before = asyncio.all_tasks()
    served = Served(b"a", waits=True)
    asking = asyncio.create_task(served.ask())
    await served.has_begun.wait()
    served.gone.set()
    await asking
    assert served.bodies == [(b"a", True)]
    assert served.has_ended.is_set()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_request_that_is_cancelled_ends_the_iterator():
    served = Served(b"a", waits=True)
    asking = asyncio.create_task(served.ask())
    await served.has_begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert served.has_ended.is_set()


async def test_what_goes_wrong_in_the_iterator_is_raised_once():
    async def broken():
        yield b"a"
        raise ZeroDivisionError

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.Event().wait()

    reply = PiecesResponse(iterator=broken())
    with pytest.raises(ZeroDivisionError):
        await reply.send_body(send, receive)
    assert [one["body"] for one in sent] == [b"a"]
