"""The server's protocol, but that the head of a reply leaves with the first of its body: one packet and one system call less."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD = b"HTTP/1.1 "
_JOIN_BYTES = 1 << 16
"""What is larger is not copied to be joined."""


class HeadWithBody:
    """A transport that keeps a head until something follows it, but no longer than this round of the loop."""

    __slots__ = ("_head", "_loop", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write: Callable[[bytes], None] = transport.write
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write, behind what is kept; or keep a head."""
        head = self._head
        if head:
            self._head = b""
            if len(data) <= _JOIN_BYTES:
                self._write(head + data)
            else:
                self._transport.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._write(data)

    def close(self) -> None:
        """Close, once what is kept is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class ReplyProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin with a connection."""
        super().connection_made(cast("asyncio.Transport", HeadWithBody(transport, self.loop)))
