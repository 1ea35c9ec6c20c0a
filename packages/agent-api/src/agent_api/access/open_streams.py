"""A stream that is open ends when its key does: a request is let in once, and may last for hours."""

import time
from collections.abc import Awaitable, Callable

from agent_api.access.asgi import Message, Receive, Send

CHECK_S = 0.5
CLOSED_BY_KEY = 4401
"""The code of a WebSocket that is closed for want of a key (4000 to 4999 are the application's own, RFC 6455)."""


class OpenStream:
    """What is sent and received in one request, for as long as `is_valid` says so; asked at most once in `CHECK_S`."""

    __slots__ = ("_check_at", "_is_ended", "_is_told", "_is_valid", "_receive", "_send")

    def __init__(self, send: Send, receive: Receive, is_valid: Callable[[], bool]) -> None:
        self._send = send
        self._receive = receive
        self._is_valid = is_valid
        self._check_at = time.monotonic() + CHECK_S
        self._is_ended = False
        self._is_told = False

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message, or the end in its place; nothing behind that."""
        if self._is_ended:
            return _nothing()
        goes_on = message.get("more_body") or message["type"] == "websocket.send"
        if goes_on and time.monotonic() >= self._check_at and not self._still():
            return self._send(self._end_of(message["type"]))
        return self._send(message)

    async def receive(self) -> Message:
        """What the client says; that it has gone, where its key has ended."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        if not self._is_ended and (time.monotonic() < self._check_at or self._still()):
            return message
        if not self._is_told:
            await self._send(self._end_of("websocket.send"))
        return {"type": "websocket.disconnect", "code": CLOSED_BY_KEY}

    def _still(self) -> bool:
        self._check_at = time.monotonic() + CHECK_S
        self._is_ended = not self._is_valid()
        return not self._is_ended

    def _end_of(self, kind: str) -> Message:
        self._is_told = True
        if kind == "http.response.body":
            return {"type": kind, "body": b"", "more_body": False}
        return {"type": "websocket.close", "code": CLOSED_BY_KEY, "reason": "the API key is no longer valid"}


async def _nothing() -> None:
    """Nobody listens any more."""
