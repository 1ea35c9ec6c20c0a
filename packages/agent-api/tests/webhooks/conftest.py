"""A receiver of webhooks: a real HTTP server on loopback that says what it is told to and keeps what it got."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from agent_core.testing import answer


class Receiver:
    """What came in, in order; `says` are the statuses to answer with, the last one for ever."""

    def __init__(self, says):
        self.says = list(says)
        self.got = []
        self.hangs = False
        self.let_go = asyncio.Event()
        self.serving = set()
        self.more = b""

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        try:
            await self.answer(reader, writer)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            self.serving.discard(asyncio.current_task())

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.got.append((headers, body))
        if self.hangs:
            await self.let_go.wait()
        status = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n%b\r\n" % (status, self.more))
        await writer.drain()

    async def until(self, count):
        async with asyncio.timeout(30):
            while len(self.got) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def receiving():
    @asynccontextmanager
    async def opened(*says):
        receiver = Receiver(says or (200,))
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
        receiver.port = server.sockets[0].getsockname()[1]
        receiver.url = f"http://127.0.0.1:{receiver.port}/hook?x=1"
        async with server:
            yield receiver
            receiver.let_go.set()
            await asyncio.gather(*receiver.serving, return_exceptions=True)

    return opened


@pytest.fixture
def open_with_hooks(open_serving):
    """A daemon that may reach loopback, and a client with its admin key."""

    @asynccontextmanager
    async def opened(port, replies=None, **settings):
        settings = {"webhook_networks": "127.0.0.0/8", "webhook_ports": str(port), **settings}
        async with open_serving(replies or [answer("Fine.")], **settings) as (client, daemon):
            client.headers["Authorization"] = f"Bearer {daemon.first_key}"
            yield client, daemon

    return opened
