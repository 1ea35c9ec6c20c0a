"""Replies over a real socket: in few pieces, whole, and in order."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn

from agent_api.replying import HeadWithBody
from agent_api.serving import server_config

LARGE = b"x" * 300_000
LATE = asyncio.Event()


async def app(scope, receive, send):
    """Answers by path: in one body, in pieces, in none."""
    bodies = {"/one": [b"hello"], "/pieces": [b"HTTP/1.1 is no head here", b" but text"], "/large": [LARGE]}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    if scope["path"] == "/late":
        await LATE.wait()
    for body in bodies.get(scope["path"], []):
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def serving():
    config = server_config(app)
    config.lifespan = "off"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        yield reader, writer
        writer.close()
        server.should_exit = True
        await task


async def asked(reader, writer, path):
    """The head and the body of the reply."""
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return head, body


async def test_replies_are_whole_and_in_order_on_one_connection():
    async with serving() as connection:
        for path, body in {"/one": b"hello", "/pieces": b"HTTP/1.1 is no head here but text"}.items():
            head, found = await asked(*connection, path)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert found == body
        assert (await asked(*connection, "/large"))[1] == LARGE
        assert (await asked(*connection, "/none"))[1] == b""


async def test_a_head_leaves_though_its_body_is_late():
    async with serving() as (reader, writer):
        LATE.clear()
        writer.write(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        LATE.set()
        assert await reader.readline() == b"0\r\n"


async def test_what_belongs_to_no_request_is_not_kept(transports):
    written, transport = transports
    transport.write(HEAD)
    assert written.pieces == [HEAD]
    transport.begin()
    transport.write(HEAD)
    transport.begin()  # the next one came already
    transport.write(b"body")
    transport.write(b"more")
    assert written.pieces == [HEAD, HEAD + b"body", b"more"]


class Written:
    """A transport that keeps what is written; a fake."""

    def __init__(self):
        self.pieces, self.is_closed = [], False

    def write(self, data):
        self.pieces.append(data)

    def writelines(self, pieces):
        self.pieces.append(b"".join(pieces))

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True


@pytest.fixture
async def transports():
    written = Written()
    return written, HeadWithBody(written, asyncio.get_running_loop())


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("body", [b"body", LARGE])
async def test_a_head_and_its_body_are_one_piece(transports, body):
    written, transport = transports
    transport.begin()
    transport.write(HEAD)
    transport.write(body)
    assert written.pieces == [HEAD + body]
    await asyncio.sleep(0)
    assert written.pieces == [HEAD + body]


async def test_a_head_that_nothing_follows_leaves_in_the_next_round(transports):
    written, transport = transports
    transport.begin()
    transport.write(HEAD)
    assert written.pieces == []
    await asyncio.sleep(0)
    assert written.pieces == [HEAD]


async def test_a_head_is_written_before_the_connection_is_closed(transports):
    written, transport = transports
    transport.begin()
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert (written.pieces, written.is_closed) == ([HEAD], True)
