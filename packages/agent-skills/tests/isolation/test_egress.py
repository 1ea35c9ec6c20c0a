"""A sandbox that was given hosts reaches them through the proxy, and nothing else by any way."""

import asyncio
import contextlib
import resource
import socket
from pathlib import Path

import anyio
import pytest

from agent_skills.errors import IsolationError
from agent_skills.isolation import egress_proxy
from agent_skills.isolation.egress import PORT, Egress
from agent_skills.isolation.egress_proxy import EgressProxy
from agent_skills.isolation.sandbox import Sandbox

LOOPBACK = ("127.0.0.0/8",)


@contextlib.asynccontextmanager
async def web(host="127.0.0.9"):
    """A server that says what it was asked; to what is no HTTP it says it back."""
    seen = []

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if (first := await reader.read(5)) == b"raw: ":
                writer.write(b"echo: " + await reader.read())
            else:
                head = first + await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                seen.append(head + await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


@contextlib.asynccontextmanager
async def proxied(egress, *, resolve=None):
    """A proxy of its own, without a sandbox; what is given is a function that says something to it and reads the answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    proxy = EgressProxy(listener, egress, resolve=resolve)

    async def say(text, *, then=b"", close=True):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text if isinstance(text, bytes) else text.encode())
        answer = b""
        if then:
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.write(then)
        if close:
            writer.write_eof()
        async with asyncio.timeout(60):
            answer += await reader.read()
        writer.close()
        return answer.decode()

    try:
        yield say
    finally:
        proxy.close()


async def answers(host, _port):
    table = {
        "good.example": ["127.0.0.9"],
        "mixed.example": ["127.0.0.9", "10.0.0.1"],
        "inside.example": ["169.254.169.254"],
    }
    if host not in table:
        raise OSError(host)
    return table[host]


async def test_a_host_that_is_named_is_reached_by_tunnel_and_by_request():
    async with web() as (port, seen):
        egress = Egress(hosts=("good.example",), networks=LOOPBACK, ports=(port,))
        async with proxied(egress, resolve=answers) as say:
            told = await say(f"CONNECT good.example:{port} HTTP/1.1\r\nHost: x\r\n\r\n", then=b"raw: hi")
            assert told.startswith("HTTP/1.1 200")
            assert told.endswith("echo: hi")
            request = f"POST http://good.example:{port}/a?b#c HTTP/1.1\r\nHost: evil.example\r\nX-Mine: 1\r\n"
            request += (
                "Proxy-Authorization: x\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbodyGET / more"
            )
            assert (await say(request)).endswith("seen")
            (asked,) = seen
            assert asked.startswith(b"POST /a?b HTTP/1.1\r\n")
            assert f"host: good.example:{port}\r\n".encode() in asked
            assert asked.endswith(b"\r\n\r\nbody")
            assert b"x-mine: 1" in asked
            assert b"evil" not in asked
            assert b"proxy-" not in asked


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("other.example", "only these hosts are asked"),
        ("sub.good.example", "only these hosts are asked"),
        ("127.0.0.9", "only these hosts are asked"),
        ("2130706441", "four numbers"),
        ("0x7f.9", "four numbers"),
        ("good.example.evil", "only these hosts are asked"),
        ("mixed.example", "10.0.0.1, which is not public"),
        ("inside.example", "169.254.169.254, which is not public"),
        ("unknown.example", "there is no host"),
        ("good.example:1", "only the ports"),
    ],
)
@pytest.mark.parametrize("how", ["CONNECT", "GET"])
async def test_no_other_host_is_reached(target, words, how):
    async with web() as (port, seen):
        hosts = ("good.example", "mixed.example", "inside.example", "unknown.example")
        # To be reached, the server of the test has to be opened by name; the others are not public.
        egress = Egress(hosts=hosts, networks=("127.0.0.9/32",), ports=(port,))
        place = target if ":" in target else f"{target}:{port}"
        line = f"CONNECT {place}" if how == "CONNECT" else f"GET http://{place}/"
        async with proxied(egress, resolve=answers) as say:
            told = await say(f"{line} HTTP/1.1\r\nHost: good.example\r\n\r\n")
            assert told.split(" ")[1] in {"403", "502"}
            assert words in told
        assert not seen


async def test_what_is_inside_is_not_reached_even_if_it_is_named():
    async with web("127.0.0.1") as (port, seen):
        async with proxied(Egress(hosts=("*", "127.0.0.1", "localhost"), ports=(port,))) as say:
            for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
                assert (await say(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 403")
        assert not seen


@pytest.mark.parametrize(
    "said",
    [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET https://good.example/ HTTP/1.1\r\n\r\n",
        "GET http://user@good.example/ HTTP/1.1\r\n\r\n",
        "GET http://good.example:x/ HTTP/1.1\r\n\r\n",
        "POST http://good.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST http://good.example/ HTTP/1.1\r\nContent-Length: 9999999999999\r\n\r\n",
        "POST http://good.example/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET http://good.example/ HTTP/1.1\r\n folded: x\r\n\r\n",
        "GET http://good.example/ HTTP/1.1\r\nx\r\n\r\n",
        "CONNECT  HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_to_a_proxy_is_refused(said):
    async with proxied(Egress(hosts=("good.example",)), resolve=answers) as say:
        assert (await say(said)).split(" ")[1][:1] == "4"


async def test_a_head_without_an_end_is_let_go(monkeypatch):
    monkeypatch.setattr(egress_proxy, "_HEAD_TIMEOUT_S", 0.1)
    async with proxied(Egress(hosts=("good.example",)), resolve=answers) as say:
        assert await say(b"x" * 100_000, close=False) == ""
        assert await say(b"GET ", close=False) == ""


async def test_a_large_body_passes_in_pieces_and_one_that_breaks_off_is_no_body():
    async with web() as (port, seen):
        async with proxied(
            Egress(hosts=("good.example",), networks=LOOPBACK, ports=(port,)), resolve=answers
        ) as say:
            head = f"PUT http://good.example:{port}/ HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n".encode()
            assert (await say(head + b"x" * 3_000_000)).endswith("seen")
            assert seen[0].endswith(b"x" * 3_000_000)
            assert await say(head + b"x") == ""
        assert len(seen) == 1


async def test_a_host_without_descriptors_accepts_again_when_it_has_some(monkeypatch, caplog):
    monkeypatch.setattr(egress_proxy, "_NO_DESCRIPTOR_PAUSE_S", 0.1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = EgressProxy(listener, Egress(hosts=("good.example",)), resolve=answers)
    with socket.create_connection(listener.getsockname()) as client:  # it waits to be accepted
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            await asyncio.sleep(0.05)
            assert not proxy._tasks
            assert not caplog.records  # the loop was not asked again and again
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with anyio.fail_after(60):
            while not proxy._tasks:
                await anyio.sleep(0.01)
        client.shutdown(socket.SHUT_RDWR)
    proxy.close()


async def test_what_does_not_listen_is_no_way_out():
    with pytest.raises(IsolationError, match="does not listen"):
        EgressProxy(socket.socket(), Egress(hosts=("*",)))
    with pytest.raises(IsolationError, match="no TCP socket"):
        EgressProxy(socket.socket(type=socket.SOCK_DGRAM), Egress(hosts=("*",)))


async def run(worker, code):
    arguments = {"stmt": code, "setup": "import os, socket, urllib.request", "number": 1}
    return await worker.ask({"function": "timeit:timeit", "arguments": arguments}, timeout_s=60)


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def only(mechanism, wanted):
    if mechanism != wanted:
        pytest.skip(f"for {wanted}")


async def test_a_sandbox_reaches_the_hosts_it_was_given(start, mechanism):
    only(mechanism, "bubblewrap")
    async with web() as (port, seen):
        egress = Egress(hosts=("127.0.0.9",), networks=LOOPBACK, ports=(port,))
        async with start(Sandbox(egress=egress)) as worker:
            good = f"assert urllib.request.urlopen('http://127.0.0.9:{port}/').read() == b'seen'"
            assert "ok" in await run(worker, good)
            refused = await run(worker, f"urllib.request.urlopen('http://127.0.0.8:{port}/')")
            assert "403" in refused["error"]["message"]
        assert len(seen) == 1


WAYS = {
    "past the proxy": "socket.create_connection(('127.0.0.9', {port}), timeout=5)",
    "to the host's loopback": "socket.create_connection(('127.0.0.1', {port}), timeout=5)",
    "to the world": "socket.create_connection(('192.0.2.1', 80), timeout=5)",
    "by datagrams": "socket.socket(type=socket.SOCK_DGRAM)",
    "by a unix socket": "socket.socket(socket.AF_UNIX)",
    "to the machine below": "socket.socket(socket.AF_VSOCK)",
    "by netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "by packets": "socket.socket(socket.AF_PACKET, socket.SOCK_STREAM)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "by another protocol": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)",
}


@pytest.mark.parametrize("way", WAYS)
async def test_there_is_no_way_past_the_proxy(start, mechanism, way):
    only(mechanism, "bubblewrap")
    async with web() as (port, seen):
        egress = Egress(hosts=("127.0.0.9",), networks=LOOPBACK, ports=(port,))
        async with start(Sandbox(egress=egress)) as worker:
            answer = await run(worker, WAYS[way].format(port=port))
            assert answer["error"]["type"] in {"PermissionError", "ConnectionRefusedError", "OSError"}, answer
        assert not seen


async def test_the_way_out_ends_with_the_sandbox(start, mechanism):
    only(mechanism, "bubblewrap")
    async with web() as (port, _seen):
        egress = Egress(hosts=("127.0.0.9",), networks=LOOPBACK, ports=(port,))
        before = descriptors()
        async with start(Sandbox(egress=egress)) as worker:
            hold = f"globals().update(kept=socket.create_connection(('127.0.0.1', {PORT})))"
            await run(worker, hold)
            tasks = worker._egress._tasks
            with anyio.fail_after(60):
                while not tasks:
                    await anyio.sleep(0.01)
        with anyio.fail_after(60):
            while tasks or descriptors() > before:
                await anyio.sleep(0.01)


async def test_landlock_is_given_no_hosts(start, mechanism):
    only(mechanism, "landlock")
    with pytest.raises(IsolationError, match="install bubblewrap"):
        async with start(Sandbox(egress=Egress(hosts=("good.example",)))):
            pass
