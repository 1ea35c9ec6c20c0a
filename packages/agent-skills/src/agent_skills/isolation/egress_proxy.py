"""The one way out of a sandbox that was given hosts: a proxy, whose listening socket the sandbox made in its own empty
network and handed over. So it has no route to anywhere; each connection is made here, once name, port and every address
are checked.

What is said inside a connection is not looked at: over TLS it cannot be. A name is held to by its address alone, so two
names at one address are one.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from agent_skills.errors import IsolationError
from agent_skills.isolation.egress import Egress
from agent_skills.web.hosts import HostGuard, HostRefusedError, HostUnknownError, Resolve

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
_HEAD_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 10.0
_IDLE_S = 300.0
_NO_DESCRIPTOR_PAUSE_S = 1.0
_MAX_HEAD_BYTES = 32 * 1024
_CHUNK_BYTES = 64 * 1024
_MAX_DIGITS = 12
_OF_ONE_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"}
)


class EgressProxy:
    """Serves one sandbox for as long as that lives. Belongs to one event loop."""

    def __init__(self, listener: socket.socket, egress: Egress, *, resolve: Resolve | None = None) -> None:
        """`listener` is closed by `close`.

        Raises:
            IsolationError: it is no socket that listens on TCP, or a network of `egress` is none.
        """
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            _assert_listens(listener)
            self._guard = HostGuard(
                hosts=egress.hosts, networks=egress.networks, ports=egress.ports, resolve=resolve
            )
        except (OSError, ValueError) as error:
            listener.close()
            raise IsolationError(f"the way out of a sandbox could not be made: {error}") from error
        listener.setblocking(False)
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # this process has no descriptor left: it would be asked again and again
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(_NO_DESCRIPTOR_PAUSE_S, self._listen)
            return
        if len(self._tasks) >= MAX_CONNECTIONS:
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End all connections; may be called twice."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=_MAX_HEAD_BYTES)
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            try:
                asked = _Asked.read(head)
                await self._connect(asked, reader, writer)
            except _NotServedError as error:
                logger.info("a sandbox asked its proxy in vain: %s", error)
                body = f"{error}\n".encode()
                about = (
                    f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(f"HTTP/1.1 {error.status}\r\n{about}".encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it went away, or says nothing that can be answered
        finally:
            await _ended(writer)

    async def _connect(
        self, asked: "_Asked", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                host = self._guard.check(asked.host, asked.port)
                address = await self._guard.address(host, asked.port)
                far_reader, far_writer = await asyncio.open_connection(address, asked.port)
        except HostRefusedError as error:
            raise _NotServedError("403 Forbidden", f"{asked.host[:200]!r} is not reached: {error}") from None
        except HostUnknownError as error:
            raise _NotServedError("502 Bad Gateway", str(error)) from None
        except (OSError, TimeoutError):
            raise _NotServedError("502 Bad Gateway", f"no connection to {asked.host[:200]!r}") from None
        try:
            if asked.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways((reader, writer), (far_reader, far_writer))
            else:
                far_writer.write(asked.head_for(host))
                await _pass_on(reader, far_writer, asked.body_bytes)
                await _copy(far_reader, writer)
        finally:
            await _ended(far_writer)


class _NotServedError(Exception):
    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Asked(msgspec.Struct, frozen=True):
    """The head of a request to a proxy (RFC 9110, 9.3.6 and RFC 9112, 3.2.2)."""

    method: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str]
    body_bytes: int = 0

    @property
    def is_tunnel(self) -> bool:
        return self.method == "CONNECT"

    @classmethod
    def read(cls, head: str) -> "_Asked":
        first, *lines = head.split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
            raise _NotServedError("400 Bad Request", "this proxy speaks HTTP/1.1 alone")
        method, target, _ = words
        is_tunnel = method == "CONNECT"
        try:
            parts = urlsplit(f"//{target}" if is_tunnel else target)
            port = parts.port or (443 if is_tunnel else 80)
        except ValueError:
            raise _NotServedError("400 Bad Request", "this is no address") from None
        if "@" in parts.netloc or (not is_tunnel and parts.scheme != "http"):
            raise _NotServedError(
                "400 Bad Request", "ask by CONNECT, or for an http:// address without a user"
            )
        headers = dict(_header(line) for line in lines if line)
        if "transfer-encoding" in headers:
            raise _NotServedError("411 Length Required", "say how long the body is")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) <= _MAX_DIGITS):
            raise _NotServedError("400 Bad Request", "the length of the body is no number")
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        return cls(method, parts.hostname or "", port, path, headers, int(length))

    def head_for(self, host: str) -> bytes:
        """What the server is sent: the same request, for the host that was checked, and no other after it."""
        shown = f"[{host}]" if ":" in host else host
        kept = {name: value for name, value in self.headers.items() if name not in _OF_ONE_HOP}
        kept |= {"host": shown if self.port == 80 else f"{shown}:{self.port}", "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip() or any(ord(char) < ord(" ") for char in value.strip()):
        raise _NotServedError("400 Bad Request", "a line of the head is no header")
    return name.lower(), value.strip()


async def _both_ways(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_copy(near[0], far[1]))
        tasks.create_task(_copy(far[0], near[1]))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, count: int) -> None:
    """So many bytes, and none that may come behind them."""
    while count:
        async with asyncio.timeout(_IDLE_S):
            data = await source.read(min(count, _CHUNK_BYTES))
            if not data:
                raise asyncio.IncompleteReadError(b"", count)
            count -= len(data)
            target.write(data)
            await target.drain()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends, or nothing comes for long; then the target is told that no more will come."""
    with contextlib.suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(_IDLE_S):
                data = await source.read(_CHUNK_BYTES)
                if not data:
                    break
                target.write(data)
                await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await writer.wait_closed()


def _assert_listens(listener: socket.socket) -> None:
    """Hold that what came out of a sandbox is what was asked for."""
    if listener.family != socket.AF_INET or listener.type != socket.SOCK_STREAM:
        raise ValueError("what it handed over is no TCP socket")
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError("what it handed over does not listen")
