"""What the transport over httptools promises beside the faults and the port, for which it has no other client."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any, TypeAlias

import pytest

from agent_gateway.connection import Connection
from agent_gateway.errors import (
    BrokenReplyError,
    MissingExtraError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from agent_gateway.httptools_transport import HttptoolsTransport
from agent_gateway.transport import HttpCall, Timeouts

Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers every request of every connection in the same way; counts what it sees."""

    def __init__(self, answer: Answer) -> None:
        self.connections = 0
        self.open = 0
        self.heads: list[str] = []
        self.url = ""
        self._answer = answer

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        try:
            yield self
        finally:
            listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections, self.open = self.connections + 1, self.open + 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                size = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(size or 0))
                await self._answer(reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


def raw(*pieces: bytes, close: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        if close:
            raise ConnectionError

    return answer


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Says nothing until the client goes."""
    await reader.read()
    raise ConnectionError


@pytest.fixture
async def transport() -> AsyncIterator[HttptoolsTransport]:
    made = HttptoolsTransport(timeouts=Timeouts(connect_s=1.0, first_byte_s=2.0, between_s=2.0))
    yield made
    await made.aclose()


def call(url: str, **more: Any) -> HttpCall:
    return HttpCall(url=url, where="here", headers={}, **more)


async def body_of(transport: HttptoolsTransport, url: str) -> bytes:
    async with transport.send(call(url)) as reply:
        return await reply.read()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


READABLE = {
    "in one piece": [OK],
    "byte by byte": [OK[place : place + 1] for place in range(len(OK))],
    "line feeds alone": [OK.replace(b"\r\n", b"\n")],
    "chunks": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"],
    "chunks with spaces, extensions and a trailer": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1  \r\no\r\n1;a=b\r\nk\r\n0\r\nx: y\r\n\r\n"
    ],
    "announced twice": [b"HTTP/1.1 102 X\r\na: b\r\n\r\nHTTP/1.1 103 X\r\n\r\n" + OK],
}


@pytest.mark.parametrize("how", READABLE)
async def test_a_reply_is_read_however_it_comes_and_its_connection_is_used_again(
    transport: HttptoolsTransport, how: str
) -> None:
    async with Server(raw(*READABLE[how])).serving() as server:
        for _ in range(3):
            assert await body_of(transport, server.url) == b"ok"
        assert server.connections == 1


ONCE = {
    "until it closes": raw(b"HTTP/1.1 200 OK\r\n\r\no", b"k", close=True),
    "it says that it closes": raw(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")),
    "HTTP/1.0": raw(OK.replace(b"1.1", b"1.0")),
    "two replies": raw(OK + OK),
    "something behind it": raw(OK + b"and more"),
    "something behind it, later": raw(OK, b"and more"),
}


@pytest.mark.parametrize("how", ONCE)
async def test_a_connection_is_not_used_again_where_it_must_not(
    transport: HttptoolsTransport, how: str
) -> None:
    async with Server(ONCE[how]).serving() as server:
        for _ in range(2):
            assert await body_of(transport, server.url) == b"ok"
            await asyncio.sleep(0.05)  # for what comes later
        assert server.connections == 2


@pytest.mark.parametrize(
    "later",
    [OK.replace(b"\r\n\r\nok", b"\r\n\r\nno"), b"and more", b""],
    ids=["a reply", "no reply", "its end"],
)
def test_what_came_while_nobody_looked_is_no_reply_to_the_next_request(later: bytes) -> None:
    """The loop is busy: it has not seen what the server said unasked, or that it closed, when the connection is used."""
    said, connections = Event(), 0

    def serve(listener: socket.socket) -> None:
        nonlocal connections
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections += 1
                with connection, suppress(ConnectionError):
                    connection.recv(10_000)
                    connection.sendall(OK)
                    sleep(0.05)  # the first reply has been read by then
                    if connections == 1:
                        connection.sendall(later)
                        if not later:
                            connection.shutdown(socket.SHUT_WR)
                        said.set()
                        connection.recv(10_000)

    async def ask_twice() -> None:
        transport = HttptoolsTransport(timeouts=Timeouts(first_byte_s=10.0, between_s=10.0))
        assert await body_of(transport, url) == b"ok"
        assert said.wait(10)
        assert await body_of(transport, url) == b"ok"
        await transport.aclose()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread = Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            asyncio.run(ask_twice())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
    assert connections == 2


WRONG = {
    "a head without end": raw(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 50_000 + b"\r\n"] * 4),
    "a value without end": raw(b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 50_000] * 4),
    "announced without end": raw(*[b"HTTP/1.1 103 X\r\nx: " + b"y" * 40_000 + b"\r\n\r\n"] * 5),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk"),
    "a length and chunks": raw(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "another protocol": raw(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    "a status that is none": raw(b"HTTP/1.1 099 X\r\ncontent-length: 2\r\n\r\nok"),
    "half a head": raw(b"HTTP/1.1 200 OK\r\nx", close=True),
}


@pytest.mark.parametrize("how", WRONG)
async def test_what_is_no_reply(transport: HttptoolsTransport, how: str) -> None:
    async with Server(WRONG[how]).serving() as server:
        with pytest.raises(ProviderUnavailableError, match=r"HTTP|broke") as raised:
            await body_of(transport, server.url)
        assert type(raised.value) is ProviderUnavailableError
        await until(lambda: not server.open)


async def test_a_trailer_without_end(transport: HttptoolsTransport) -> None:
    start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: "
    async with Server(raw(start, *[b"y" * 50_000] * 4)).serving() as server:
        with pytest.raises(BrokenReplyError, match="HTTP"):
            await body_of(transport, server.url)


async def test_the_server_waits_for_a_slow_reader(transport: HttptoolsTransport) -> None:
    written = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n")
        for _ in range(400):
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000

    async with Server(answer).serving() as server, transport.send(call(server.url)) as reply:
        await asyncio.sleep(0.3)
        assert written < 20_000_000, "the kernel's buffers, and a little of ours"
        assert len(await reply.read()) == 40_000_000


async def test_an_idle_connection_is_closed_after_a_while(
    transport: HttptoolsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(raw(OK)).serving() as server:
        assert await body_of(transport, server.url) == b"ok"
        monkeypatch.setattr("agent_gateway.pool._IDLE_S", 0.1)
        assert await body_of(transport, server.url) == b"ok"
        assert server.connections == 1
        await until(lambda: not server.open)
        assert await body_of(transport, server.url) == b"ok"
        assert server.connections == 2


async def test_no_more_connections_than_are_allowed() -> None:
    transport = HttptoolsTransport(max_connections=3, timeouts=Timeouts(connect_s=20))
    most = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, one.open + other.open)
        await asyncio.sleep(0.01)
        writer.write(OK)

    one, other = Server(answer), Server(answer)
    async with one.serving(), other.serving():
        urls = [one.url, other.url] * 10
        assert await asyncio.gather(*[body_of(transport, url) for url in urls]) == [b"ok"] * 20
        await transport.aclose()
        await until(lambda: not one.open + other.open)
    assert most <= 6, "a server may see the end of an old one later than the start of the new"


async def test_who_waits_for_a_connection_in_vain_is_told() -> None:
    transport = HttptoolsTransport(max_connections=1, timeouts=Timeouts(connect_s=0.1))
    async with Server(raw(OK)).serving() as server:
        async with transport.send(call(server.url)) as reply:
            with pytest.raises(ProviderTimeoutError, match="timeout: connect"):
                await body_of(transport, server.url)
            assert await reply.read() == b"ok"
        assert await body_of(transport, server.url) == b"ok"
        await transport.aclose()


async def test_who_is_cancelled_leaves_nothing(transport: HttptoolsTransport) -> None:
    async with Server(silence).serving() as server:
        task = asyncio.create_task(body_of(transport, server.url))
        await until(lambda: len(server.heads) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not server.open)


async def test_a_connection_that_is_closed_needs_no_collector(transport: HttptoolsTransport) -> None:
    """A daemon collects rarely, and a stream that a client leaves closes its connection."""

    def connections() -> int:
        return sum(isinstance(one, Connection) for one in gc.get_objects())

    async def leave(url: str) -> None:
        async with transport.send(call(url)) as reply:
            assert reply.status == 200

    async with Server(raw(OK[:-1])).serving() as server:
        gc.collect()
        gc.disable()
        try:
            before = connections()
            for _ in range(3):
                await leave(server.url)
            await until(lambda: not server.open)
            assert connections() == before
        finally:
            gc.enable()


async def test_closing_ends_what_is_under_way(transport: HttptoolsTransport) -> None:
    async with Server(silence).serving() as server:
        task = asyncio.create_task(body_of(transport, server.url))
        await until(lambda: len(server.heads) == 1)
        await transport.aclose()
        with pytest.raises(ProviderUnavailableError, match="connection broke"):
            await task
        await until(lambda: not server.open)
        assert server.connections == 1, "and it is not asked once more"


async def test_a_reply_that_comes_before_the_request_has_left(transport: HttptoolsTransport) -> None:
    ended = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"413 X"))
        await writer.drain()
        with suppress(ConnectionError):
            await asyncio.sleep(0.2)
            await reader.read()
        writer.close()
        ended += 1

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    try:
        for _ in range(2):
            async with transport.send(call(url, body=b"x" * 20_000_000)) as reply:
                assert (reply.status, await reply.read()) == (413, b"ok")
        await until(lambda: ended == 2)
    finally:
        listener.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the loop that has gone
def test_each_event_loop_has_connections_of_its_own() -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.wfile.write(OK)

        def log_message(self, *_: object) -> None:
            pass

    transport = HttptoolsTransport()

    async def last() -> bytes:
        body = await body_of(transport, url)
        await transport.aclose()
        return body

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        try:
            assert asyncio.run(body_of(transport, url)) == b"ok"  # leaves an idle connection behind
            assert asyncio.run(last()) == b"ok"
            assert asyncio.run(body_of(transport, url)) == b"ok"
            asyncio.run(transport.aclose())
        finally:
            server.shutdown()
            serving.join()
    gc.collect()


async def test_what_a_url_may_not_bring_into_the_request_line(transport: HttptoolsTransport) -> None:
    async with Server(raw(OK)).serving() as server:
        await body_of(transport, f"{server.url}v1/models/a b%2Fc/ü:ask?key=x y&z=1#part")
        await body_of(transport, server.url.removesuffix("/") + "?alt=sse")
    lines = [head.partition(" HTTP/1.1")[0] for head in server.heads]
    assert lines == ["POST /v1/models/a%20b%2Fc/%C3%BC:ask?key=x%20y&z=1", "POST /?alt=sse"]


async def test_lines_of_the_same_name_are_one(transport: HttptoolsTransport) -> None:
    lines = b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nempty:\r\nB: caf\xe9\r\ncontent-length: 2\r\n\r\nok"
    async with Server(raw(lines)).serving() as server, transport.send(call(server.url)) as reply:
        assert reply.headers == {"a": "1, 2", "empty": "", "b": "café", "content-length": "2"}


async def test_a_proxy_that_is_reached_in_secret(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, made = certificate
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(made, key)
    transport = HttptoolsTransport(ssl_context=ssl.create_default_context(cafile=made))
    async with Server(raw(OK)).serving(secure) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert await body_of(transport, "http://far.test/v1") == b"ok"
        await transport.aclose()
        await until(lambda: not proxy.open)
    assert proxy.heads[0].startswith("POST http://far.test/v1 HTTP/1.1\r\nHost: far.test\r\n")


async def test_a_proxy_of_another_kind_is_refused(
    transport: HttptoolsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ProviderRefusedError, match="the proxy's URL must begin with"):
        await body_of(transport, "http://far.test/v1")


async def test_without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "agent_gateway.pool", None)
    with pytest.raises(MissingExtraError, match=r"agent-gateway\[httptools\]"):
        await body_of(HttptoolsTransport(), "http://far.test/v1")
