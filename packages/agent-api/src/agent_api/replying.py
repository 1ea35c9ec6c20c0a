"""The server's protocol, but that the head of a reply leaves with the first of its body: one packet and one system call less."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

_JOIN_BYTES = 1 << 16
"""What is larger is not copied to be joined."""


class HeadWithBody:
    """A transport that keeps the head of a reply until something follows it, but no longer than this round of the loop."""

    __slots__ = ("_head", "_loop", "_transport", "write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.write: Callable[[bytes], None] = transport.write
        """The transport's own, but for a head and what follows it: the pieces of a stream pay nothing."""

    def begin(self) -> None:
        """A request has come: what is written next is the head of its reply."""
        if not self._head:
            self.write = self._keep

    def close(self) -> None:
        """Close, once what is kept is written."""
        self._flush()
        self._transport.close()

    def _keep(self, head: bytes) -> None:
        self._head = head
        self.write = self._follow
        self._loop.call_soon(self._flush)

    def _follow(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.write = self._transport.write
        if len(data) <= _JOIN_BYTES:
            self.write(head + data)
        else:
            self._transport.writelines((head, data))

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self.write = self._transport.write
            if not self._transport.is_closing():
                self.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class ReplyProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin with a connection."""
        self._replies = HeadWithBody(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._replies))

    def on_headers_complete(self) -> None:
        """A request has come."""
        self._replies.begin()
        super().on_headers_complete()
