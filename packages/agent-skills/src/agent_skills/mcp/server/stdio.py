"""A server over standard input and output: one client, one message a line. The process ends when its input does."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from agent_skills.mcp import wire
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.headers import check_version
from agent_skills.mcp.server.server import McpServer, Session
from agent_skills.mcp.wire import Message


async def serve_stdio(server: McpServer) -> None:
    """Serve the client at the other end of standard input and output until it closes.

    Whatever else writes to standard output would break the messages: let it write to standard error.
    """
    output = anyio.wrap_file(sys.stdout.buffer)
    lock = anyio.Lock()

    async def write(line: bytes) -> None:
        async with lock:
            await output.write(line)
            await output.flush()

    await serve_lines(server, _lines(), write)


async def serve_lines(
    server: McpServer, lines: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]
) -> None:
    """Serve a client whose messages come as lines.

    Args:
        server: the server.
        lines: one message each; the end of it ends the serving and what is under way.
        write: writes one line, the line feed included; called by several tasks.
    """
    client = _Client(server, write)
    async with anyio.create_task_group() as tasks:
        async for line in lines:
            if line.strip():
                await client.take(line, tasks)
        tasks.cancel_scope.cancel()


class _Client:
    def __init__(self, server: McpServer, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._server = server
        self._write = write
        self._session: Session | None = None
        self._running: dict[wire.RequestId, anyio.CancelScope] = {}

    async def take(self, line: bytes, tasks: TaskGroup) -> None:
        """Take one line; requests run in `tasks`."""
        try:
            message = wire.decode(line)
            if message.is_request and message.name != "initialize" and not self._is_in_session(message):
                self._server.check(message)
                check_version(message.meta[wire.VERSION_KEY])
        except McpRefusedError as error:
            await self._send(wire.failure_of(wire.id_in(line), error))
            return
        if message.is_response:
            if self._session is not None:
                self._session.answer(message)
        elif message.is_request:
            tasks.start_soon(self._run, message)
        elif message.name == "notifications/cancelled":
            scope = self._running.get(message.given.get("requestId", ""))
            if scope is not None:
                scope.cancel()

    def _is_in_session(self, message: Message) -> bool:
        return self._session is not None and wire.VERSION_KEY not in message.meta

    async def _run(self, message: Message) -> None:
        if not isinstance(message.id, int | str):
            return
        if message.name == "initialize" and wire.VERSION_KEY not in message.meta:
            self._session, answer = self._server.begin(message)
            await self._send(answer)
            return
        with anyio.CancelScope() as scope:
            self._running[message.id] = scope
            try:
                session = self._session if self._is_in_session(message) else None
                answer = await self._server.handle(message, self._send, session)
            finally:
                del self._running[message.id]
            await self._send(answer)

    async def _send(self, message: Message) -> None:
        await self._write(wire.encode(message) + b"\n")


async def _lines() -> AsyncIterator[bytes]:
    """The lines of standard input. A thread reads them; it is left behind when the serving ends."""
    while line := await anyio.to_thread.run_sync(
        sys.stdin.buffer.readline, wire.MAX_MESSAGE_BYTES, abandon_on_cancel=True
    ):
        yield line
