"""Splits a byte stream into server-sent events, with their ids and the pause before a reconnection. Pure.

Source: WHATWG HTML, 9.2.6.
"""

import msgspec

from agent_skills.mcp.wire import MAX_MESSAGE_BYTES


class Event(msgspec.Struct, frozen=True):
    """One event."""

    data: bytes
    """The lines of data, joined by line feeds; empty where an event only gives an id or a pause."""
    id: str = ""
    retry_ms: int | None = None


class EventSplitter:
    """Bytes in, events out. One splitter serves one stream."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """`max_bytes`: the size of one event above which `feed` raises `ValueError`."""
        self._max_bytes = max_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size_bytes = 0
        self._id = ""
        self._retry_ms: int | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; returns the events that they complete.

        Raises:
            ValueError: one event is too large.
        """
        buffer = self._rest + chunk
        held = buffer[-1:] == b"\r"  # half of a line end, perhaps
        body = buffer[:-1] if held else buffer
        lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        events = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._rest) + self._size_bytes > self._max_bytes:
            raise ValueError(f"an event is over {self._max_bytes:,} bytes")
        return events

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._end()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"data":
                self._data.append(value)
                self._size_bytes += len(value)
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit():
                self._retry_ms = min(int(value[:10]), 60_000)
            case _:
                pass
        return None

    def _end(self) -> Event | None:
        data, self._data, self._size_bytes = self._data, [], 0
        retry_ms, self._retry_ms = self._retry_ms, None
        if not data and retry_ms is None:
            return None
        return Event(b"\n".join(data), self._id, retry_ms)
