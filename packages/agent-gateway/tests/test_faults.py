"""Servers that lie, break off and overflow: the right error, nothing left behind, and the next call works.

Every fault runs over both transports, against a real server on loopback that writes raw bytes.
"""

import asyncio
import contextlib
import gc
import gzip
import json
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any, TypeAlias

import pytest

from agent_core.chat import CallContext, Completion, ModelRequest
from agent_core.messages import user
from agent_gateway.client import HttpChatModel
from agent_gateway.errors import (
    BrokenReplyError,
    CertificateError,
    DeadlineExceededError,
    GatewayError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitedError,
    ReplyTooLargeError,
)
from agent_gateway.httptools_transport import HttptoolsTransport
from agent_gateway.transport import HttpCall, HttpReply, HttpxTransport, Timeouts

Writer: TypeAlias = asyncio.StreamWriter
Answer: TypeAlias = Callable[[asyncio.StreamReader, Writer], Awaitable[None]]

REQUEST = ModelRequest(messages=(user("hi"),))
LIMIT_BYTES = 20_000_000
TIMEOUTS = Timeouts(connect_s=0.5, first_byte_s=1.0, between_s=1.0)
SSE = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
GOOD = json.dumps({"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()


class Liar:
    """A server that answers each request as it is told; the last answer stands."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.connections = 0
        self.open = 0
        self.base_url = ""

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Liar"]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
        yield self
        listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections, self.open = self.connections + 1, self.open + 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(size or 0))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                await answer(reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


def says(head: str, body: bytes = b"") -> Answer:
    """A reply with its length."""

    async def answer(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def raw(head: str, body: bytes, *, close: bool = False) -> Answer:
    """Just these bytes, and then, where it is to `close`, no more."""

    async def answer(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
        await writer.drain()
        if close:
            raise ConnectionError

    return answer


def good() -> Answer:
    return says("200 OK\r\ncontent-type: application/json", GOOD)


def silent() -> Answer:
    """Nothing, until the other side gives up."""

    async def answer(reader: asyncio.StreamReader, _: Writer) -> None:
        await reader.read(1)
        raise ConnectionError

    return answer


def streams(*pieces: bytes, then: str = "silence") -> Answer:
    """Pieces of a stream, each in a chunk of its own, and no end: silence, a close or a reset."""

    async def answer(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(f"{SSE}transfer-encoding: chunked\r\n\r\n".encode())
        for piece in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        if then == "silence":
            await reader.read(1)
        await asyncio.sleep(0.05)
        if then == "reset":
            writer.write(b"100\r\nhalf a chunk")
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            writer.transport.abort()
        writer.close()
        raise ConnectionError

    return answer


def endless(piece: bytes, *, pause_s: float = 0.0) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(f"{SSE}\r\n".encode())
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        raise ConnectionError

    return answer


ERROR = b'{"error": {"message": "the words", "type": "x"}}'
JSON = "\r\ncontent-type: application/json"
CHUNKED = f"\r\ntransfer-encoding: chunked{JSON}"
FAULTS: dict[str, tuple[Answer, type[GatewayError], str]] = {
    "429, seconds": (says("429 X\r\nretry-after: 7" + JSON, ERROR), RateLimitedError, "wait 7 s"),
    "429, a date": (  # far away: it is made when tests are collected
        says(f"429 X\r\nretry-after: {formatdate(time() + 36_000, usegmt=True)}" + JSON, ERROR),
        RateLimitedError,
        r"wait 3\d{4}",
    ),
    "429, in the body": (
        says("429 X" + JSON, b'{"error": {"message": "Please try again in 1.5s"}}'),
        RateLimitedError,
        r"wait 1\.5 s",
    ),
    "500": (says("500 X", b"<html>oh</html>"), ProviderUnavailableError, "oh"),
    "529": (says("529 X" + JSON, ERROR), ProviderUnavailableError, "the words"),
    "no first byte": (silent(), ProviderTimeoutError, "first_byte"),
    "silence mid-stream": (streams(CHUNK), ProviderTimeoutError, "between"),
    "closed mid-stream": (streams(CHUNK, then="close"), BrokenReplyError, "broke"),
    "reset mid-chunk": (streams(CHUNK, then="reset"), BrokenReplyError, "broke"),
    "truncated JSON": (says("200 OK" + JSON, GOOD[:-9]), BrokenReplyError, "no chat completion"),
    "less than announced": (
        raw(f"200 OK\r\ncontent-length: {len(GOOD) + 9}{JSON}", GOOD, close=True),
        BrokenReplyError,
        "broke",
    ),
    "a chunk that is no chunk": (raw(f"200 OK{CHUNKED}", b"zz\r\n{}\r\n"), BrokenReplyError, "HTTP"),
    "a chunk longer than announced": (
        raw(f"200 OK{CHUNKED}", b"1\r\n" + GOOD + b"\r\n0\r\n\r\n"),
        BrokenReplyError,
        "HTTP",
    ),
    "no last chunk": (
        raw(f"200 OK{CHUNKED}", b"%x\r\n%s\r\n" % (len(GOOD), GOOD), close=True),
        BrokenReplyError,
        "broke",
    ),
    "lengths that differ": (
        raw(f"200 OK\r\ncontent-length: 9\r\ncontent-length: {len(GOOD)}{JSON}", GOOD),
        ProviderUnavailableError,
        "HTTP",
    ),
    "a length that is none": (
        raw(f"200 OK\r\ncontent-length: -1{JSON}", GOOD),
        ProviderUnavailableError,
        "HTTP",
    ),
    "a head without end": (
        raw("200 OK" + "\r\nx: y" * 1_000_000, b""),
        ProviderUnavailableError,
        "HTTP",
    ),
    "a status that is none": (says("099 X" + JSON, GOOD), ProviderUnavailableError, "HTTP"),
    "another protocol": (
        raw("101 X\r\nupgrade: x\r\nconnection: upgrade", b""),
        ProviderUnavailableError,
        "HTTP",
    ),
    "a page to sign in": (
        says("302 X\r\nlocation: https://login.example/?to=a"),
        ProviderRefusedError,
        "login.example/; if you trust",
    ),
    "a page": (
        says("200 OK\r\ncontent-type: text/html", b"<html>hello</html>"),
        BrokenReplyError,
        "text/html",
    ),
    "a page called a stream": (
        says("200 OK\r\ncontent-type: text/event-stream", b"<p>\n"),
        BrokenReplyError,
        "broke",
    ),
    "not HTTP": (says("99 huh"), ProviderUnavailableError, "HTTP"),
    "10 MB line": (endless(b"data: " + b"x" * 10_000_000), ReplyTooLargeError, "one event"),
    "endless events": (endless(CHUNK * 1_000), ReplyTooLargeError, "its reply"),
    "endless comments": (endless(b": alive\n\n" * 10_000), ReplyTooLargeError, "its reply"),
    "redirect": (
        says("307 X\r\nlocation: http://127.0.0.1:1/evil?key=1"),
        ProviderRefusedError,
        "evil; if you trust",
    ),
    "unasked encoding": (says("200 OK\r\ncontent-encoding: br" + JSON, b"x"), BrokenReplyError, "'br'"),
    "broken gzip": (
        says("200 OK\r\ncontent-encoding: gzip" + JSON, b"no gzip"),
        BrokenReplyError,
        "compressed wrongly",
    ),
    "half a gzip": (
        says("200 OK\r\ncontent-encoding: gzip" + JSON, gzip.compress(GOOD)[:-12]),
        BrokenReplyError,
        "broke off",
    ),
}


@pytest.fixture(params=(HttpxTransport, HttptoolsTransport), ids=lambda kind: kind.__name__)
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param(timeouts=TIMEOUTS, max_reply_bytes=LIMIT_BYTES)


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    async with Liar().serving() as running:
        yield running


async def ask(model: HttpChatModel, request: ModelRequest = REQUEST) -> Completion:
    *_, last = [item async for item in model.stream(request)]
    assert isinstance(last, Completion)
    return last


@asynccontextmanager
async def nothing_left_behind(liar: Liar) -> AsyncIterator[None]:
    """Of this process: no task, no socket, no connection on the server's side."""
    before = asyncio.all_tasks()
    yield
    for _ in range(40):
        left = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
        if not liar.open and not left:
            return
        await asyncio.sleep(0.05)
    raise AssertionError((liar.open, left))


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault(transport: Any, liar: Liar, fault: str) -> None:
    answer, kind, words = FAULTS[fault]
    liar.answers = [answer, good()]
    async with nothing_left_behind(liar):
        async with HttpChatModel("m", base_url=liar.base_url, transport=transport) as model:
            with pytest.raises(kind, match=words) as raised:
                await ask(model)
            assert type(raised.value) is kind
            assert (await ask(model)).message.text == "ok", "the pool is intact"
            assert (await ask(model)).message.text == "ok"
        assert liar.connections <= 3
        if fault in {"429, seconds", "529"}:
            assert liar.connections == 1, "a reply that was read leaves its connection to the next"


async def test_nobody_takes_the_call(transport: Any, liar: Liar) -> None:
    """A queue of connections that is full answers nothing, not even no."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        async with nothing_left_behind(liar), HttpChatModel("m", base_url=url, transport=transport) as model:
            with pytest.raises(ProviderTimeoutError, match="connect"):
                await ask(model)


async def test_a_deadline_holds_for_the_whole_reply(transport: Any, liar: Liar) -> None:
    liar.answers = [good(), endless(CHUNK, pause_s=0.01), good()]
    async with (
        nothing_left_behind(liar),
        HttpChatModel("m", base_url=liar.base_url, transport=transport) as model,
    ):
        assert (await ask(model)).message.text == "ok", (
            "connected: the deadline ends a reply, not the imports"
        )
        soon = ModelRequest(messages=REQUEST.messages, context=CallContext(deadline=time() + 0.5))
        with pytest.raises(ProviderTimeoutError, match="total"):
            await ask(model, soon)
        past = ModelRequest(messages=REQUEST.messages, context=CallContext(deadline=time() - 1))
        with pytest.raises(DeadlineExceededError):
            await ask(model, past)
        assert (await ask(model)).message.text == "ok"
    assert liar.connections == 2


async def test_a_deadline_holds_though_there_is_always_more_to_read(transport: Any, liar: Liar) -> None:
    liar.answers = [endless(CHUNK)]
    call = HttpCall(url=f"{liar.base_url}/chat/completions", where="it", headers={}, total_s=2.0)
    async with transport.send(call) as reply:
        with pytest.raises(ProviderTimeoutError, match="total"):
            await _read_slowly(reply)


async def _read_slowly(reply: HttpReply) -> None:
    async for _ in reply.chunks():
        await asyncio.sleep(0.05)


async def test_a_bomb_is_not_unpacked(transport: Any, liar: Liar) -> None:
    bomb = gzip.compress(b" " * 100_000_000, compresslevel=9)
    assert len(bomb) < 500_000
    liar.answers = [says("200 OK\r\ncontent-encoding: gzip" + JSON, bomb), good()]
    async with (
        nothing_left_behind(liar),
        HttpChatModel("m", base_url=liar.base_url, transport=transport) as model,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ReplyTooLargeError, match="20,000,000 bytes"):
                await ask(model)
            assert tracemalloc.get_traced_memory()[1] < 2.5 * LIMIT_BYTES
        finally:
            tracemalloc.stop()
        assert (await ask(model)).message.text == "ok"


async def test_a_packed_reply_is_unpacked(transport: Any, liar: Liar) -> None:
    liar.answers = [says("200 OK\r\ncontent-encoding: gzip" + JSON, gzip.compress(GOOD))]
    async with HttpChatModel("m", base_url=liar.base_url, transport=transport, streaming=False) as model:
        assert (await ask(model)).message.text == "ok"


async def test_a_stream_under_a_wrong_name(transport: Any, liar: Liar) -> None:
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
    liar.answers = [
        says("200 OK" + JSON, CHUNK + end),
        says("200 OK\r\ncontent-type: text/plain", CHUNK + end),
    ]
    async with HttpChatModel("m", base_url=liar.base_url, transport=transport) as model:
        for _ in range(2):
            completion = await ask(model)
            assert (completion.message.text, completion.finish_reason) == ("a", "length")


async def test_a_certificate_that_nobody_vouches_for(
    transport: Any, certificate: tuple[Path, Path], liar: Liar
) -> None:
    key, made = certificate
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(made, key)
    async with Liar().serving(server) as secure:
        secure.answers = [good()]
        async with nothing_left_behind(liar):
            async with HttpChatModel("m", base_url=secure.base_url, transport=transport) as model:
                with pytest.raises(CertificateError) as raised:
                    await ask(model)
                assert not raised.value.retryable
            trusting = type(transport)(ssl_context=ssl.create_default_context(cafile=made))
            async with HttpChatModel("m", base_url=secure.base_url, transport=trusting) as model:
                assert (await ask(model)).message.text == "ok"


async def test_a_key_that_a_server_quotes_is_not_shown(transport: Any, liar: Liar) -> None:
    key = "sk-very-secret"
    told = b'{"error": {"message": "wrong key sk-very-secret", "type": "authentication_error"}}'
    in_stream = b"event: error\ndata: " + told + b"\n\n"
    liar.answers = [says("401 X" + JSON, told), streams(in_stream)]
    async with HttpChatModel("m", base_url=liar.base_url, transport=transport, api_key=key) as model:
        for _ in range(2):
            with pytest.raises(ProviderRefusedError, match="wrong key") as raised:
                await ask(model)
            assert key not in f"{raised.value} {raised.value!r} {model!r} {vars(raised.value)}"


def resident_bytes() -> int:
    gc.collect()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.slow
async def test_ten_thousand_calls_leave_memory_flat(transport: Any, liar: Liar) -> None:
    broken = streams(CHUNK, then="close")
    async with HttpChatModel("m", base_url=liar.base_url, transport=transport) as model:
        sizes: list[int] = []
        for count in range(10_001):
            liar.answers = [broken if count % 100 == 99 else good()]
            try:
                await ask(model)
            except BrokenReplyError:
                assert count % 100 == 99
            if count in {2_000, 10_000}:
                sizes.append(resident_bytes())
    assert sizes[1] - sizes[0] < 2_000_000
