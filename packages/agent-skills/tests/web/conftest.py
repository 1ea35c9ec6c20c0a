"""Raw servers on loopback, and a resolver that says what it is told."""

import asyncio
import contextlib

import pytest


class FakeResolver:
    """Answers from a table, each name with its next answer; counts."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked = []

    async def __call__(self, host, _port):
        self.asked.append(host)
        found = self.answers.get(host)
        if not found:
            raise OSError(f"unknown {host}")
        return list(found.pop(0) if len(found) > 1 else found[0])


@contextlib.asynccontextmanager
async def raw_server(answer, host="127.0.0.9", port=0):
    """A server that writes what `answer(path, request)` gives: bytes, or an async iterator of them. Counts requests."""
    requests = []
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            requests.append(head)
            reply = answer(head.split(" ")[1], head)
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
            else:
                async for piece in reply:
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def reply(body=b"", status="200 OK", **headers):
    """A whole HTTP reply as bytes."""
    given = {"content-type": "text/plain", "content-length": str(len(body)), "connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@pytest.fixture
def resolver():
    return FakeResolver


@pytest.fixture
def server():
    return raw_server


@pytest.fixture
def answer():
    return reply
