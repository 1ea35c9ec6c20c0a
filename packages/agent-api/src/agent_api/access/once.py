"""Runs a request that carries an idempotency key at most once: see `idempotency`."""

import time

from agent_api.access.asgi import Application, Message, Receive, Scope, Send
from agent_api.access.idempotency import HEADER, Replies, Reply

MAX_BODY_BYTES = 2 * 1024 * 1024


def name_of(scope: Scope) -> str:
    """The idempotency key that a POST carries; empty: none."""
    if scope.get("method") != "POST":
        return ""
    for name, value in scope["headers"]:
        if name == HEADER:
            return bytes(value).decode("latin-1")
    return ""


async def once(
    application: Application, scope: Scope, receive: Receive, send: Send, *, replies: Replies, key_id: str
) -> None:
    """Answer a request that carries an idempotency key: as before, or by `application`.

    Raises:
        IdempotencyError: see `Replies.begin`; nothing was sent.
    """
    name, path = name_of(scope), scope["path"]
    body = await _body(receive)
    before = replies.begin(key_id, name, path=path, body=body, now=time.time())
    if before is not None:
        headers = [*before.headers, (b"idempotent-replayed", b"true")]
        await send({"type": "http.response.start", "status": before.status, "headers": headers})
        await send({"type": "http.response.body", "body": before.body, "more_body": False})
        return
    kept = _Kept(send)
    try:
        await application(scope, _again(body, receive), kept)
    finally:
        replies.end(key_id, name, path=path, body=body, now=time.time(), reply=kept.reply)


class _Kept:
    """Sends on, and keeps a reply that comes in one piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self.reply: Reply | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            if not message.get("more_body"):
                headers = [(bytes(name), bytes(value)) for name, value in self._start["headers"]]
                self.reply = Reply(
                    status=self._start["status"], headers=headers, body=message.get("body", b"")
                )
            self._start = None
        await self._send(message)


async def _body(receive: Receive) -> bytes:
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what else comes."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
