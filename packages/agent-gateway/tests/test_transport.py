import asyncio
import inspect
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_gateway.errors import (
    BrokenReplyError,
    CertificateError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from agent_gateway.httptools_transport import HttptoolsTransport
from agent_gateway.transport import HttpCall, HttpxTransport, Timeouts, Transport, default_transport
from agent_gateway.transport_errors import ERRORS, Fault, translate

BOTH = (HttpxTransport, HttptoolsTransport)
OF_OTHERS = {
    "agent_gateway.HungUpError",
    "agent_gateway.NotHttpError",
    "builtins.TimeoutError",
    "builtins.ConnectionError",
    "builtins.ConnectionRefusedError",
    "builtins.OSError",
    "builtins.ValueError",
    "socket.gaierror",
    "ssl.SSLError",
    "zlib.error",
}
CLASSES = {
    Fault.UNREACHABLE: ProviderUnavailableError,
    Fault.CONNECT_TIMEOUT: ProviderTimeoutError,
    Fault.READ_TIMEOUT: ProviderTimeoutError,
    Fault.BROKEN: ProviderUnavailableError,
    Fault.CERTIFICATE: CertificateError,
    Fault.OURS: ProviderRefusedError,
}


@pytest.fixture(params=BOTH, ids=lambda kind: kind.__name__)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = request.param(timeouts=Timeouts(connect_s=2.0))
    yield made
    await made.aclose()


def exceptions_of(client: Any) -> dict[str, type[Exception]]:
    return {
        f"{client.__name__}.{kind.__name__}": kind
        for _, kind in inspect.getmembers(client, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    }


PUBLIC = exceptions_of(httpx)


def test_the_table_has_every_exception_of_the_client_and_no_other() -> None:
    assert {*PUBLIC, *OF_OTHERS} == set(ERRORS)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_class_becomes_one_of_ours_or_stays_a_bug(name: str) -> None:
    fault, words = ERRORS[name]
    kind = PUBLIC[name]
    if fault is Fault.BUG:
        assert not issubclass(kind, httpx.HTTPError | httpx.InvalidURL)
        return
    told = translate(kind.__new__(kind), "openai:m")
    assert words in str(told)
    assert type(told) is CLASSES[fault]
    began = translate(kind.__new__(kind), "openai:m", began=True)
    assert isinstance(began, BrokenReplyError) == (fault is Fault.BROKEN)


def test_a_class_that_is_derived_from_a_known_one() -> None:
    class NewError(httpx.ReadError):
        __module__ = "httpx"

    assert "while it answered" in str(translate(NewError("secret"), "openai:m"))
    assert "secret" not in str(translate(NewError("secret"), "openai:m"))


def test_what_the_standard_library_raises() -> None:
    assert isinstance(translate(zlib.error("x"), "m", began=True), BrokenReplyError)
    assert isinstance(translate(ConnectionResetError(), "m", began=True), BrokenReplyError)
    assert type(translate(OSError(), "m")) is ProviderUnavailableError
    assert isinstance(translate(ValueError("a header"), "m"), ProviderRefusedError)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/v1", ProviderUnavailableError),
        ("no-scheme/v1", ProviderRefusedError),
        ("ftp://host/v1", ProviderRefusedError),
        ("http://[::1/v1", ProviderRefusedError),
        ("http://host:port/v1", ProviderRefusedError),
        (f"http://{'label' * 20}.test/v1", (ProviderRefusedError, ProviderUnavailableError)),
        ("http:///v1", (ProviderRefusedError, ProviderUnavailableError)),
    ],
)
async def test_addresses_that_lead_nowhere(transport: Transport, url: str, kind: Any) -> None:
    with pytest.raises(kind):
        async with transport.send(HttpCall(url=url, where="openai:m", headers={})):
            pass


async def test_a_key_with_a_line_break_is_ours_and_not_shown(transport: Transport) -> None:
    call = HttpCall(
        url="http://127.0.0.1:1/", where="openai:m", headers={"Authorization": "Bearer sk\r\nsecret"}
    )
    with pytest.raises((ProviderRefusedError, ProviderUnavailableError)) as raised:
        async with transport.send(call):
            pass
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("silent", "works"), [(1, True), (2, False)])
async def test_a_server_that_hangs_up_without_a_word_is_asked_once_more(
    transport: Transport, silent: int, works: bool
) -> None:
    """As one does that closes an idle connection in the moment in which it is used again."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if asked > silent:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    try:
        call = HttpCall(url=url, where="here", headers={})
        if works:
            async with transport.send(call) as reply:
                assert await reply.read() == b"ok"
        else:
            with pytest.raises(ProviderUnavailableError, match="connection broke"):
                async with transport.send(call):
                    pass
    finally:
        listener.close()
    assert asked == 2


async def test_only_what_was_asked_for_is_sent(transport: Transport, server: Any, make_script: Any) -> None:
    server.say(make_script(b"{}", content_type="application/json"))
    headers = {"Content-Type": "application/json", "X-Key": "k"}
    async with transport.send(
        HttpCall(url=server.base_url, where="m", headers=headers, body=b"[1]")
    ) as reply:
        assert (reply.status, await reply.read()) == (200, b"{}")
    (request,) = server.requests
    assert request["body"] == [1]
    assert {*request["headers"]} - {"connection"} == {"host", "content-type", "x-key", "content-length"}


async def test_proxies_of_the_environment(
    transport: Transport, server: Any, make_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say(make_script(b"proxied", content_type="text/plain"))
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", "direct.test")
    call = HttpCall(method="GET", url="http://far.test/v1/models", where="m", headers={})
    async with transport.send(call) as reply:
        assert await reply.read() == b"proxied"
    assert server.requests[0]["path"] == "http://far.test/v1/models"
    with pytest.raises(ProviderUnavailableError):
        async with transport.send(HttpCall(method="GET", url="http://direct.test:1/", where="m", headers={})):
            pass


async def test_a_proxy_that_wants_a_password(
    transport: Transport, server: Any, make_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say(make_script(b"proxied", content_type="text/plain"))
    place = server.base_url.removesuffix("/v1").partition("://")[2]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{place}")
    for _ in range(2):
        call = HttpCall(method="GET", url="http://far.test/v1/models", where="m", headers={})
        async with transport.send(call) as reply:
            assert await reply.read() == b"proxied"
    said = [request["headers"].get("proxy-authorization") for request in server.requests]
    assert said == ["Basic bWU6c2VjcmV0"] * 2


class Tunnel:
    """A proxy that opens tunnels (RFC 9110, 9.3.6), all of them to one place, for who says the password."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._port = port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.partition("\r\n")[0])
        if "proxy-authorization: basic bwu6c2vjcmv0" not in head.lower():
            writer.write(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(reader, there[1]))
            tasks.create_task(self._carry(there[0], writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
        writer.close()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_a_secure_server_behind_a_proxy(
    kind: Any, password: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, made = certificate
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(made, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"proxy-authorization" not in head.lower(), "the password is the proxy's"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secure)
    port = listener.sockets[0].getsockname()[1]
    tunnel = Tunnel(port)
    transport = kind(ssl_context=ssl.create_default_context(cafile=made))
    async with tunnel.serving() as place:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{password}@{place}")
        call = HttpCall(method="GET", url=f"https://127.0.0.1:{port}/v1/models", where="m", headers={})
        try:
            if password == "secret":
                async with transport.send(call) as reply:
                    assert await reply.read() == b"ok"
                await transport.aclose()
                await ended.wait()
            else:
                with pytest.raises(ProviderUnavailableError, match="proxy did not let") as raised:
                    async with transport.send(call):
                        pass
                assert "wrong" not in str(raised.value)
            assert tunnel.asked[0] == f"CONNECT 127.0.0.1:{port} HTTP/1.1"
        finally:
            await transport.aclose()
            listener.close()


async def test_what_announces_a_reply_is_not_the_reply(transport: Transport) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    try:
        async with transport.send(HttpCall(url=url, where="here", headers={})) as reply:
            assert (reply.status, await reply.read()) == (200, b"ok")
    finally:
        listener.close()


async def test_a_large_request_arrives_whole(transport: Transport, server: Any, make_script: Any) -> None:
    server.say(make_script(b"{}", content_type="application/json"))
    body = b'"' + b"x" * 20_000_000 + b'"'
    async with transport.send(HttpCall(url=server.base_url, where="m", headers={}, body=body)) as reply:
        assert reply.status == 200
        await reply.read()
    assert len(server.requests[0]["body"]) == 20_000_000


def test_the_extra_swaps_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_transport(), HttptoolsTransport)
    monkeypatch.setattr("agent_gateway.transport.find_spec", lambda name: None)
    assert isinstance(default_transport(), HttpxTransport)
