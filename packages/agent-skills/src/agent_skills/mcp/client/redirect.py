"""Where a browser comes back to after a login: one address of this machine, for one login (RFC 8252, section 7.3)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from urllib.parse import parse_qs, urlsplit

import msgspec

from agent_skills.mcp.errors import McpLoginError

_HOST = "127.0.0.1"
_PATH = "/callback"
_MAX_HEAD_BYTES = 16 * 1024
_READ_S = 10.0


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What the browser brought."""

    code: str
    state: str
    issuer: str | None


class Redirect:
    """Listens until the browser has come back."""

    def __init__(self, server: str) -> None:
        """`server` is the MCP server's name, for messages."""
        self._server = server
        self._state = ""
        self._arrived: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()
        self.url = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls, server: str, port: int = 0) -> "AsyncGenerator[Redirect]":
        """Listen while the block lasts, on a free port if none is named.

        Raises:
            McpLoginError: the port is taken.
        """
        redirect = cls(server)
        try:
            listener = await asyncio.start_server(redirect._serve, _HOST, port, limit=_MAX_HEAD_BYTES)
        except OSError as error:
            raise McpLoginError(
                server, f"port {port} of {_HOST}, where the browser comes back to, is taken: {error.strerror}"
            ) from error
        redirect.url = f"http://{_HOST}:{listener.sockets[0].getsockname()[1]}{_PATH}"
        try:
            yield redirect
        finally:
            listener.close()

    def expect(self, authorization_url: str) -> None:
        """A person is sent to this address now; who comes back from another one is not let in."""
        self._state = parse_qs(urlsplit(authorization_url).query).get("state", [""])[0]

    async def arrival(self) -> Arrival:
        """Wait for the browser.

        Raises:
            McpLoginError: the login was refused.
        """
        return await self._arrived

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
            status, text = self._take(head.split(b"\r\n")[0].decode("latin-1"))
            body = text.encode()
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
                f"cache-control: no-store\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # no browser; the one that is waited for may still come
        finally:
            writer.close()

    def _take(self, line: str) -> tuple[str, str]:
        """Look at a request line; returns the status and the text of the reply."""
        method, _, rest = line.partition(" ")
        where = urlsplit(rest.partition(" ")[0])
        query = {key: values[0] for key, values in parse_qs(where.query).items()}
        if method != "GET" or where.path != _PATH:
            return "404 Not Found", "There is nothing here."
        if not self._state or query.get("state") != self._state:
            return "400 Bad Request", "This is not the login that is waited for."
        if self._arrived.done():
            return "400 Bad Request", "This login is over."
        if "code" not in query:
            why = " ".join((query.get("error", "no reason given"), query.get("error_description", "")))
            shown = "".join(char if char.isprintable() else " " for char in why)[:300].strip()
            self._arrived.set_exception(McpLoginError(self._server, f"the login was refused: {shown}"))
            return "200 OK", "The login was refused. This window may be closed."
        self._arrived.set_result(
            Arrival(code=query["code"], state=query["state"], issuer=query.get("iss") or None)
        )
        return "200 OK", "The login is back where it was begun. This window may be closed."
