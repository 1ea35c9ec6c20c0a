"""`Connection`: one HTTP/1.1 connection of a client, on asyncio; httptools (llhttp) reads the replies.

It carries one request at a time and knows of it only the bytes. Which connection is used for what, and what an error
means for the caller, is the transport's business.
"""

import asyncio
import select
from enum import Enum, auto
from typing import cast

import httptools

from agent_gateway.transport_errors import HungUpError, NotHttpError

_HELD_BYTES = 64 * 1024
"""How much of a body may wait for its reader before the server is made to wait."""
_LONGEST_HEAD_BYTES = 128 * 1024
"""Of a head, and of what comes between two pieces of a body: sizes of chunks, trailers."""


class _Stage(Enum):
    IDLE = auto()
    """No request is out."""
    HEAD = auto()
    """A request is out, the head of its reply is not there."""
    BODY = auto()
    WHOLE = auto()
    """The reply has ended."""


class Connection(asyncio.Protocol):
    """One connection. `send` a request, wait for the `head` of its reply, `read` its body, then let it `rest`.

    Every wait has an end and raises `TimeoutError` there. What else goes wrong is an `OSError`: a `NotHttpError`, a
    `HungUpError`, another `ConnectionError`, or what the network said.
    """

    __slots__ = (
        "_alarm",
        "_error",
        "_fields",
        "_held_bytes",
        "_is_kept",
        "_lasts_until_close",
        "_loop",
        "_moment",
        "_parser",
        "_pieces",
        "_poll",
        "_stage",
        "_transport",
        "_unsaid_bytes",
        "_waiter",
        "headers",
        "lost",
        "status",
    )

    status: int
    headers: dict[str, str]
    """Names in lower case; those of the reply, once its head is there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        # Servers that are sloppy in what only we read: nobody stands behind us who could be smuggled anything.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._stage = _Stage.IDLE
        self._error: Exception | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._unsaid_bytes = 0
        self._is_kept = False
        self._lasts_until_close = False
        self._waiter: asyncio.Future[None] | None = None
        self._moment: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._poll: select.poll | None = None
        self.lost = self._loop.create_future()
        """Done when the connection is."""

    @property
    def transport(self) -> asyncio.Transport:
        """What it runs on."""
        return self._transport

    @property
    def is_lost(self) -> bool:
        """Whether it has gone, or is about to."""
        return self.lost.done() or self._transport.is_closing()

    @property
    def is_readable(self) -> bool:
        """Whether something has come that the loop has not read yet. On a connection that rests that is its end, or what
        would pass for the reply to the next request.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def send(self, head: bytes, body: bytes) -> None:
        """Send a request. What cannot leave at once waits in memory.

        Raises:
            HungUpError: the connection has gone.
        """
        self._stage = _Stage.HEAD
        self._fields, self._pieces = [], []
        self._held_bytes = self._unsaid_bytes = 0
        self._is_kept = False
        if self.is_lost:
            raise HungUpError
        self._transport.writelines((head, body) if body else (head,))

    async def head(self, wait_s: float) -> None:
        """Wait until `status` and `headers` are there."""
        until = self._loop.time() + wait_s
        while self._stage is _Stage.HEAD:
            await self._arrival(until)

    def take(self) -> bytes:
        """What has arrived of the body and was not taken."""
        pieces = self._pieces
        if len(pieces) == 1:
            piece = pieces.pop()
        else:
            piece = b"".join(pieces)
            pieces.clear()
        if self._held_bytes > _HELD_BYTES:
            self._transport.resume_reading()
        self._held_bytes = 0
        return piece

    @property
    def is_whole(self) -> bool:
        """Whether the reply has ended: nothing comes beside what `take` still holds."""
        return self._stage is _Stage.WHOLE

    async def read(self, wait_s: float) -> bytes:
        """The next piece of the body; empty at its end."""
        until = self._loop.time() + wait_s
        while not self._pieces and self._stage is not _Stage.WHOLE:
            await self._arrival(until)
        return self.take()

    def rest(self, longest_s: float) -> bool:
        """Let it wait for the next request, where it can have one; it closes when none comes.

        It cannot where the reply has not ended, the request was not taken whole, or the server says so.
        """
        if not self._is_kept or self.is_lost or self._transport.get_write_buffer_size():
            return False
        if self._held_bytes:
            self.take()
        self._stage = _Stage.IDLE
        self._wake_at(self._loop.time() + longest_s)
        return True

    def close(self) -> None:
        """Close at once; whoever waits for it is told."""
        self._error = self._error or ConnectionAbortedError()
        self._transport.abort()

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # a stream has no other

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._stage is _Stage.IDLE or self._stage is _Stage.WHOLE:
            self._is_kept = False
            self._transport.abort()  # it speaks unasked
            return
        self._unsaid_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break_off(error)
        else:
            if self._unsaid_bytes > _LONGEST_HEAD_BYTES:
                self._break_off(None)
            elif self._held_bytes > _HELD_BYTES:
                self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.lost.done():
            return
        self._is_kept = False
        if self._stage is _Stage.BODY and self._lasts_until_close and exc is None and self._error is None:
            self._stage = _Stage.WHOLE
        if self._error is None:
            unheard = self._stage is _Stage.HEAD and not self._unsaid_bytes
            self._error = HungUpError() if unheard else exc or ConnectionResetError()
        self._moment = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        del self._parser  # which holds us: we would wait for the collector
        self._wake()
        self.lost.set_result(None)

    # What the parser says.

    def on_message_begin(self) -> None:
        """See `httptools.HTTPProtocol`."""
        if self._stage is not _Stage.HEAD:
            raise httptools.HttpParserError  # there is more than one reply

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HTTPProtocol`."""
        if self._stage is _Stage.HEAD:  # what comes after the body is nothing that anybody reads
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """See `httptools.HTTPProtocol`."""
        status = self._parser.get_status_code()
        if status < 100:
            raise httptools.HttpParserError  # there is no such status
        if status < 200:  # announces the reply (RFC 9110, 15.2)
            self._fields = []
            return
        self.status, self.headers = status, _joined(self._fields)
        self._unsaid_bytes = 0
        # RFC 9112, 6.3
        self._lasts_until_close = not ({"content-length", "transfer-encoding"} & self.headers.keys())
        self._stage = _Stage.BODY

    def on_body(self, piece: bytes) -> None:
        """See `httptools.HTTPProtocol`."""
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        self._unsaid_bytes = 0

    def on_message_complete(self) -> None:
        """See `httptools.HTTPProtocol`."""
        if self._stage is _Stage.BODY:
            self._stage = _Stage.WHOLE
            self._is_kept = self._parser.should_keep_alive()

    def _break_off(self, cause: Exception | None) -> None:
        self._is_kept = False
        self._error = NotHttpError()
        self._error.__cause__ = cause
        self._transport.abort()

    # Waiting. One timer serves all waits of a connection: that a moment moves on, as it does from request to request,
    # costs nothing, while a timer for each would cost a tenth of a request.

    async def _arrival(self, until: float) -> None:
        """Wait until something has happened."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        self._wake_at(until)
        try:
            await self._waiter
        finally:
            self._waiter = self._moment = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _wake_at(self, moment: float) -> None:
        self._moment = moment
        if self._alarm is None or moment < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        assert self._alarm is not None  # noqa: S101 (it has just gone off)
        rang, self._alarm = self._alarm.when(), None
        if self._moment is None:
            return
        if self._moment > rang:
            self._wake_at(self._moment)
        elif self._waiter is None:
            self._transport.abort()
        elif not self._waiter.done():
            self._waiter.set_exception(TimeoutError())


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The fields of a head; lines of the same name as one (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
