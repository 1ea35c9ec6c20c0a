"""Runs a request that carries an idempotency key at most once: see `idempotency`."""

import time
from http import HTTPStatus

import msgspec

from agent_api.access.asgi import Application, Message, Receive, Scope, Send
from agent_api.access.attempt import Attempt
from agent_api.access.idempotency import HEADER, Replies, Reply, request_of
from agent_api.errors import IdempotencyError
from agent_api.problems import problem_of

MAX_BODY_BYTES = 2 * 1024 * 1024
STREAMED = frozenset({"/api/v1/memory/import"})
"""Bodies that are too large to be held: their route compares them itself, by `told_anew`."""


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
    """Answer a request that carries an idempotency key: as before, or by `application`, whose principal gets the attempt.

    Raises:
        AgentError: see `Replies.begin`; nothing was sent.
    """
    is_streamed = scope["path"] in STREAMED
    body = b"" if is_streamed else await _body(receive)
    request = request_of(key_id, name_of(scope), scope["path"], body)
    before = replies.begin(request, now=time.time())
    if not isinstance(before, Attempt):
        headers = [*before.headers, (b"idempotent-replayed", b"true")]
        await send({"type": "http.response.start", "status": before.status, "headers": headers})
        await send({"type": "http.response.body", "body": before.body, "more_body": False})
        return
    kept = _Kept(send)
    scope["principal"] = msgspec.structs.replace(scope["principal"], attempt=before)
    try:
        await application(scope, receive if is_streamed else _again(body, receive), kept)
    finally:
        reply = kept.reply
        is_refused = reply is not None and reply.status >= HTTPStatus.BAD_REQUEST
        if is_refused or _route_says(scope, "told_anew"):
            reply = None
        elif reply is not None and _route_says(scope, "shown_once"):
            reply = _SHOWN_ONCE
        replies.end(request, before, reply, is_refused=is_refused, now=time.time())


def _route_says(scope: Scope, option: str) -> bool:
    """`shown_once`: the reply holds a secret, and is kept nowhere. `told_anew`: a repeated request is told how far it is now."""
    handler = scope.get("route_handler")
    return handler is not None and bool(handler.opt.get(option))


def _shown_once() -> Reply:
    why = "is that of a request whose reply held a secret, which was shown once; it was done"
    shown = problem_of(IdempotencyError(why), "/")
    headers = [(name.encode(), value.encode()) for name, value in shown.headers.items()]
    return Reply(status=shown.status, headers=headers, body=msgspec.json.encode(shown.body))


_SHOWN_ONCE = _shown_once()
"""What is kept in the place of a reply with a secret."""


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
