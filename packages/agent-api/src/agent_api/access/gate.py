"""The gate in front of every route: a valid key, its scope for this route, its limits; and a line in the audit log.

It is the outermost layer, so nothing of the application runs for somebody without a key. A route names its scope in
`opt["scope"]`; `may` refuses one that names none, so a route that was forgotten is closed, not open.
"""

import logging
import re
import time
from collections.abc import Awaitable, Iterable

import msgspec
import structlog

from agent_api.access import console
from agent_api.access.asgi import Application, Message, Receive, Scope, Send
from agent_api.access.attempt import ONLY, Attempt
from agent_api.access.audit import AuditLog, Entry
from agent_api.access.console import ConsoleSession, ConsoleSessions, cookie_of
from agent_api.access.idempotency import Replies
from agent_api.access.keys import PREFIX, ApiKey, KeyStore
from agent_api.access.once import name_of, once
from agent_api.access.open_streams import CLOSED_BY_KEY, OpenStream
from agent_api.access.scopes import ANY_KEY, NO_KEY
from agent_api.access.spending import SpendingBook
from agent_api.errors import (
    AccessUnavailableError,
    IdempotencyError,
    InvalidRequestError,
    KeyRefusedError,
    OriginRefusedError,
    RateLimitedError,
    ScopeMissingError,
)
from agent_api.logs import hide_secrets
from agent_api.metrics import Metrics
from agent_api.problems import outcome, problem_of
from agent_core.errors import AgentError
from agent_core.system import SystemIds

KEY_PREFIX = f"{PREFIX}_"
logger = logging.getLogger("agentd")

OPEN_PATHS = frozenset({"/health"})
"""Answered without a key. Nothing else is, unless the settings say so."""
_QUIET = frozenset({"GET", "HEAD"})
"""Reading is not audited, being refused is."""

_REQUEST_ID = re.compile(rb"[\w.-]{1,64}", re.ASCII)
"""What a client may call its request; anything else gets a name of ours, as it would be in logs."""


_UNKNOWN = (
    "is that of a request that was cut off, and nobody knows how far it had come; see what it did, and send it under another key "
    "if it is to be done again"
)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    key: ApiKey
    request_id: str
    console: ConsoleSession | None = None
    """The browser's session that stands for the key; None: the key itself came along."""
    attempt: Attempt = ONLY
    """Which ids belong to what the request begins."""

    @property
    def tenant(self) -> str:
        """Whose data it is about."""
        return self.key.tenant


class Gate:
    """An ASGI application around the daemon's."""

    def __init__(
        self,
        app: Application,
        *,
        keys: KeyStore,
        book: SpendingBook,
        audit: AuditLog,
        replies: Replies,
        sessions: ConsoleSessions,
        metrics: Metrics,
        open_paths: frozenset[str] = OPEN_PATHS,
    ) -> None:
        self._app = app
        self._keys = keys
        self._book = book
        self._audit = audit
        self._replies = replies
        self._sessions = sessions
        self._metrics = metrics
        self._open_paths = open_paths
        self._ids = SystemIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open_paths):
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or self._ids.new("request")
        structlog.contextvars.bind_contextvars(request_id=request_id)  # for this task: a request has its own
        await self._let_in(scope, receive, send, request_id)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        now = time.time()
        try:
            key, session = self._who(scope, now)
        except KeyRefusedError as error:
            self._note(scope, None, request_id, 401)
            self._metrics.refused(401)
            await _refuse(send, scope, error, request_id)
            return
        try:
            self._audit.check()
            self._book.count_request(key, now)
            if session is not None:
                self._sessions.check(session, scope)
        except (RateLimitedError, OriginRefusedError) as error:
            status = outcome(error).status
            self._note(scope, key, request_id, status)
            self._metrics.refused(status)
            await _refuse(send, scope, error, request_id)
            return
        scope["principal"] = Principal(key=key, request_id=request_id, console=session)
        stream = OpenStream(send, receive, lambda: self._keys.is_valid(key.key_id, time.time()))
        receive, sender = stream.receive, self._sender(scope, stream.send, key, request_id)
        if not name_of(scope):
            await self._app(scope, receive, sender)
            return
        try:
            await once(self._app, scope, receive, sender, replies=self._replies, key_id=key.key_id)
        except (IdempotencyError, InvalidRequestError, AccessUnavailableError) as error:
            await _refuse(sender, scope, error, request_id)

    def _who(self, scope: Scope, now: float) -> tuple[ApiKey, ConsoleSession | None]:
        """The key that came along, or that a browser's session stands for."""
        text = _key_text(scope)
        token = "" if text else cookie_of(scope)
        return self._sessions.find(token, now) if token else (self._keys.find(text, now), None)

    def _sender(self, scope: Scope, send: Send, key: ApiKey, request_id: str) -> Send:
        """Sends with the request's id, and notes what came of it."""
        began = time.perf_counter()

        def sender(
            message: Message,
        ) -> Awaitable[None]:  # no coroutine of its own: it is called for each piece
            if message["type"] == "http.response.start":
                status = message["status"]
                if status in {401, 403, 429} or scope.get("method") not in _QUIET:
                    self._note(scope, key, request_id, status)
                route = scope.get("path_template") or "(none)"
                self._metrics.request(route, scope["method"], status, time.perf_counter() - began)
                logger.debug("%s %s is answered with %s", scope["method"], scope["path"], status)
                own = ((b"x-request-id", request_id.encode()), *_console_headers(scope))
                message["headers"] = [*message.get("headers", ()), *own]
            elif message["type"] == "websocket.accept":
                self._note(scope, key, request_id, 101)
            return send(message)

        return sender

    def _note(self, scope: Scope, key: ApiKey | None, request_id: str, status: int) -> None:
        client, path = scope.get("client"), scope["path"][:200]
        if KEY_PREFIX in path:  # somebody put a key where an id belongs
            path = hide_secrets(path)
        self._audit.note(
            Entry(
                at=round(time.time(), 3),
                tenant="" if key is None else key.tenant,
                key_id="" if key is None else key.key_id,
                action=f"{scope.get('method', 'WEBSOCKET')} {path}",
                status=status,
                client="" if client is None else client[0],
                request_id=request_id,
            )
        )


def _key_text(scope: Scope) -> str:
    """The key that came along, as a bearer token (RFC 6750) or in `x-api-key`; empty: none."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
        if name == b"x-api-key":
            return value.strip().decode("latin-1")
    return ""


def _console_headers(scope: Scope) -> Iterable[tuple[bytes, bytes]]:
    """What browsers are told with whatever the console gets."""
    return console.HEADERS if scope["path"].startswith(console.PATH) else ()


def _given_id(scope: Scope) -> str:
    """The name that the client gave to its request, if it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return bytes(value).decode() if _REQUEST_ID.fullmatch(value) else ""
    return ""


async def _refuse(send: Send, scope: Scope, error: AgentError, request_id: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": CLOSED_BY_KEY, "reason": "a valid API key is needed"})
        return
    problem = problem_of(error, scope["path"])
    body = msgspec.json.encode(problem.body)
    fields = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    fields += [(b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
    fields += _console_headers(scope)
    await send({"type": "http.response.start", "status": problem.status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def may(app: Application) -> Application:
    """The middleware of every route: behind it is who holds the scope that the route names. One that names none is closed.

    It is no guard of the framework's, which copies the whole route for each request that it guards.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        needed, principal = scope["route_handler"].opt.get("scope"), scope.get("principal")
        if needed != NO_KEY:
            if not isinstance(principal, Principal):
                raise KeyRefusedError
            if needed != ANY_KEY and (needed is None or needed not in principal.key.scopes):
                raise ScopeMissingError(str(needed))
            if principal.attempt.is_again and scope["route_handler"].opt.get("unrepeatable"):
                raise IdempotencyError(_UNKNOWN)
        await app(scope, receive, send)

    return checked
