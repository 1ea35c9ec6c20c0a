"""Sessions of the web console: a browser that logged in with a key has a cookie in its place, which scripts cannot read.

The cookie is a random number; kept is a keyed hash of it, with the key that it stands for, which is looked at anew for every
request: a key that is revoked takes its sessions with it. What changes something needs the session's token as well (a page of
ours knows it, another's does not), and an `Origin` of ours; so do WebSockets (OWASP, Cross-Site Request Forgery Prevention).
"""

import hmac
import secrets
import sqlite3
from contextlib import closing, suppress
from hashlib import blake2b
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

import msgspec

from agent_api.access.asgi import Scope
from agent_api.access.keys import ApiKey, KeyStore
from agent_api.access.private_file import open_private, writing
from agent_api.errors import KeyRefusedError, NotFoundError, OriginRefusedError

IDLE_S = 1_800.0
"""A session that was not used for so long is over."""
ABSOLUTE_S = 43_200.0
"""Used or not, it is over after so long."""
SEEN_S = 60.0
"""How exactly it is known when a session was used."""
COOKIE = "agent_session"
CSRF_HEADER = b"x-csrf-token"
PATH = "/console"
_POLICY = (
    b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of every reply below `PATH`."""
_SAFE = frozenset({"GET", "HEAD"})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS console (
    hash BLOB PRIMARY KEY,
    key_id TEXT NOT NULL,
    began_at REAL NOT NULL,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID
"""


class ConsoleSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session, for the request that came with its cookie."""

    token: str
    """What is in the cookie."""
    csrf: str
    """What must come along with whatever changes something."""
    expires_at: float
    """When it is over, used or not, in seconds since the epoch."""


class ConsoleSessions:
    """The sessions of one daemon. Quick and blocking: one row by its key."""

    def __init__(self, folder: Path, keys: KeyStore, *, origin: str = "") -> None:
        """Open or create `console.db` in `folder`. `origin`: what browsers see, as `https://agent.example.org`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "console.db"
        self._keys = keys
        self._secret = keys.secret_for("console")
        self.origin = origin.rstrip("/")
        self._connection = open_private(self._path, (_SCHEMA,), what="the sessions")

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def begin(self, key: ApiKey, now: float) -> ConsoleSession:
        """A new session in the place of a key; those that are over are removed.

        Raises:
            AccessUnavailableError: it cannot be kept.
        """
        token = secrets.token_urlsafe(32)
        with writing("the session", self._path):
            self._connection.execute(
                "DELETE FROM console WHERE began_at <= ? OR seen_at <= ?", (now - ABSOLUTE_S, now - IDLE_S)
            )
            self._connection.execute(
                "INSERT INTO console VALUES (?, ?, ?, ?)",
                (self._hash("session", token), key.key_id, now, now),
            )
        return self._session(token, now)

    def find(self, token: str, now: float) -> tuple[ApiKey, ConsoleSession]:
        """The key that a session stands for; that it is used is noted.

        Raises:
            KeyRefusedError: there is none, it is over, or its key is no longer valid.
        """
        found = self._hash("session", token)
        query = "SELECT key_id, began_at, seen_at FROM console WHERE hash = ?"
        with closing(self._connection.execute(query, (found,))) as rows:
            row = rows.fetchone()
        if row is None or now >= row[1] + ABSOLUTE_S or now >= row[2] + IDLE_S:
            raise KeyRefusedError
        try:
            key = self._keys.get(row[0], tenant=None)
        except NotFoundError:
            raise KeyRefusedError from None
        if not key.is_valid(now):
            raise KeyRefusedError
        if now - row[2] >= SEEN_S:
            with suppress(sqlite3.Error):  # where nothing can be written, one can still look
                self._connection.execute("UPDATE console SET seen_at = ? WHERE hash = ?", (now, found))
        return key, self._session(token, row[1])

    def end(self, token: str) -> None:
        """End a session; one that is none is none of our business.

        Raises:
            AccessUnavailableError: it cannot be written that it is over.
        """
        with writing("the end of the session", self._path):
            self._connection.execute("DELETE FROM console WHERE hash = ?", (self._hash("session", token),))

    def check(self, session: ConsoleSession, scope: Scope) -> None:
        """Whether a request that came with a session's cookie was made by a page of ours.

        Raises:
            OriginRefusedError: it would change something, or open a WebSocket, and was not.
        """
        is_socket = scope["type"] == "websocket"
        if not is_socket and scope["method"] in _SAFE:
            return
        origin = _header(scope, b"origin")
        if not origin or not self.is_ours(origin, scope):
            raise OriginRefusedError
        given = _header(scope, CSRF_HEADER)
        if not is_socket and not hmac.compare_digest(given.encode(), session.csrf.encode()):
            raise OriginRefusedError(
                "what changes something must carry the session's token as `X-CSRF-Token`"
            )

    def is_ours(self, origin: str, scope: Scope) -> bool:
        """Whether pages of that origin are ours."""
        if self.origin:
            return origin == self.origin
        return origin.partition("://")[2] == _header(scope, b"host")

    def cookie(self, session: ConsoleSession | None, scope: Scope) -> str:
        """The header that gives a browser its cookie; None takes it away."""
        is_secure = self.origin.startswith("https://") or scope.get("scheme") == "https"
        value, max_age_s = (session.token, int(ABSOLUTE_S)) if session else ("", 0)
        end = "; Secure" if is_secure else ""
        return f"{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{end}"

    def _session(self, token: str, began_at: float) -> ConsoleSession:
        csrf = self._hash("csrf", token).hex()
        return ConsoleSession(token=token, csrf=csrf, expires_at=began_at + ABSOLUTE_S)

    def _hash(self, purpose: str, token: str) -> bytes:
        return blake2b(f"{purpose} {token}".encode(), key=self._secret, digest_size=32).digest()


def cookie_of(scope: Scope) -> str:
    """The token of the session that came along; empty: none."""
    text = _header(scope, b"cookie")
    if COOKIE not in text:
        return ""
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _header(scope: Scope, name: bytes) -> str:
    for field, value in scope["headers"]:
        if field == name:
            return bytes(value).decode("latin-1")
    return ""
