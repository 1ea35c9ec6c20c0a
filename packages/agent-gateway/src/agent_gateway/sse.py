"""Splits a byte stream into server-sent events, incrementally: chunks may end anywhere, inside a line end or a
character too. Pure. Follows the WHATWG HTML standard, 9.2.6; `id` and `retry` are for reconnecting, which nobody does
to a model, and are dropped.
"""

import msgspec

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event."""

    data: bytes
    """The data lines, joined by line feeds; UTF-8."""
    event: bytes = b""
    """The event's type; empty: `message`."""


class SseSplitter:
    """Bytes in, events out. One splitter serves one stream."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_event", "_pieces", "held_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        """The size of the event that has begun and not ended: whoever feeds this decides how much is too much."""
        self._pieces: list[bytes] = []  # of the line that has not ended: joined once, however many there are
        self._data: list[bytes] = []
        self._event = b""
        self._at_start = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; returns the events that they complete."""
        if self._at_start:
            chunk = self._without_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        *lines, rest = chunk.split(b"\n")
        self.held_bytes += len(chunk)
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces = []
        if rest:
            self._pieces.append(rest)
        return self._events(lines) if lines else []

    def close(self) -> list[ServerSentEvent]:
        """The stream has ended; returns the event that it left without an empty line, if there is one.

        The standard drops such an event; servers that forget the last empty line would lose their last word.
        """
        self._after_cr = False
        return self.feed(b"\n\n") if self._pieces or self._data else []

    def _events(self, lines: list[bytes]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        data = self._data
        for line in lines:
            if line[:6] == b"data: ":
                data.append(line[6:])
            elif line:
                self._take(line)
            else:
                if data:
                    events.append(
                        ServerSentEvent(data[0] if len(data) == 1 else b"\n".join(data), self._event)
                    )
                    data.clear()
                self._event = b""
        if not data:
            self.held_bytes = len(self._pieces[0]) if self._pieces else 0
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._event = value.removeprefix(b" ")

    def _without_mark(self, chunk: bytes) -> bytes:
        """`chunk` without the byte order mark that a stream may begin with; while it may be one, it is held."""
        start = b"".join((*self._pieces, chunk))
        self._pieces = []
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._pieces = [start]
            return b""
        self._at_start = False
        return start.removeprefix(_BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """`chunk` with its line ends as LF. A CR ends a line at once; the LF that may follow it is dropped."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk[-1:] == b"\r":
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
