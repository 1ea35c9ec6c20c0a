"""Splits a byte stream into server-sent events, incrementally: chunks may end anywhere, inside a line end or a
character too. Pure. Follows the WHATWG HTML standard, 9.2.6; `id` and `retry` are for reconnecting, which nobody does
to a model, and are dropped.
"""

import msgspec

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event."""

    data: bytes
    """The data lines, joined by line feeds; UTF-8."""
    event: bytes = b""
    """The event's type; empty: `message`."""


class SseSplitter:
    """Bytes in, events out. One splitter serves one stream."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._event = b""
        self._at_start = True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; returns the events that they complete."""
        buffer = self._rest + chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._at_start = False
            buffer = buffer.removeprefix(_BOM)
        # A CR at the end may be half of a CRLF: it waits for the next byte.
        held = buffer[-1:] == b"\r"
        if b"\r" in buffer:
            body = buffer[:-1] if held else buffer
            buffer = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + (b"\r" if held else b"")
        *lines, self._rest = buffer.split(b"\n")
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                events.append(ServerSentEvent(b"\n".join(self._data), self._event))
                self._data, self._event = [], b""
            else:
                self._event = b""
        return events

    def close(self) -> list[ServerSentEvent]:
        """The stream has ended; returns the event that it left without an empty line, if there is one.

        The standard drops such an event; servers that forget the last empty line would lose their last word.
        """
        return self.feed(b"\n\n") if self._rest or self._data else []

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._event = value.removeprefix(b" ")
