"""A server as a child process that speaks over standard input and output."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from agent_skills.mcp import wire
from agent_skills.mcp.client.channel import Inbox, Lost
from agent_skills.mcp.errors import McpRefusedError, McpUnavailableError

GRACE_S = 2.0
"""How long a process may take to end by itself once its input is closed, and again once it was asked to."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_STDERR_BYTES = 2_000
_LAST_WORDS_S = 1.0


class ServerProcess(Protocol):
    """A process that serves, wherever it runs."""

    @property
    def stdin(self) -> ByteSendStream:
        """What it reads."""
        ...

    @property
    def stdout(self) -> ByteReceiveStream:
        """What it says."""
        ...

    @property
    def stderr(self) -> ByteReceiveStream:
        """What it complains of."""
        ...

    async def wait(self) -> int:
        """Wait for its end."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it, and all that it started."""
        ...

    async def aclose(self) -> None:
        """Once it has ended: close its streams."""
        ...


Start = Callable[[], Awaitable[ServerProcess]]
"""Starts the process, or raises `McpUnavailableError`."""


class StdioChannel:
    """A channel over a process of its own."""

    discovery_s = 10.0  # some old servers say nothing to what they do not know

    def __init__(self, server: str, start: Start) -> None:
        """`start` is `unconfined(...)`, or what `sandboxing.start_of` gives."""
        self._server = server
        self._start = start
        self._process: ServerProcess | None = None
        self._lock = anyio.Lock()
        self._complaint = b""
        self._complained = anyio.Event()

    async def open(self, tasks: TaskGroup, inbox: Inbox, lost: Lost) -> None:
        """Start the process."""
        self._process = await self._start()
        tasks.start_soon(self._read, self._process, inbox, lost)
        tasks.start_soon(self._listen_to_complaints, self._process)

    async def send(self, message: wire.Message, headers: dict[str, str]) -> None:  # noqa: ARG002 - of HTTP alone
        """Write one line."""
        process = self._process
        if process is None:
            raise McpUnavailableError(self._server, "its process is not running")
        try:
            # Half a line would spoil all that follow: a cancelled caller waits until it is written.
            async with self._lock:
                with anyio.CancelScope(shield=True), anyio.fail_after(GRACE_S):
                    await process.stdin.send(wire.encode(message) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError, OSError):
            raise McpUnavailableError(
                self._server, f"it does not read any more{await self._last_words()}"
            ) from None

    def settled(self, revision: str) -> None:
        """Nothing depends on it here."""

    async def aclose(self) -> None:
        """Close its input, wait, ask it to end, wait, end it and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await process.stdin.aclose()
            for end in (None, process.terminate):
                if end is not None:
                    end()
                with anyio.move_on_after(GRACE_S):
                    await process.wait()
                    break
            process.kill()  # it, or what it left behind
            await process.wait()
            await process.aclose()

    async def _read(self, process: ServerProcess, inbox: Inbox, lost: Lost) -> None:
        lines = BufferedByteReceiveStream(process.stdout)
        problem = "it closed its output"
        try:
            while True:
                line = await lines.receive_until(b"\n", wire.MAX_MESSAGE_BYTES)
                with contextlib.suppress(McpRefusedError):  # some print a greeting: no message, no harm
                    await inbox(wire.decode(line))
        except anyio.DelimiterNotFound:
            problem = f"it sent a line of over {wire.MAX_MESSAGE_BYTES:,} bytes"
        except (
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.ClosedResourceError,
            anyio.BrokenResourceError,
        ):
            pass
        lost(problem + await self._last_words())

    async def _listen_to_complaints(self, process: ServerProcess) -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                self._complaint = (self._complaint + await process.stderr.receive())[-_STDERR_BYTES:]
        self._complained.set()

    async def _last_words(self) -> str:
        """What it had to say of its end; that may still be on its way."""
        with anyio.move_on_after(_LAST_WORDS_S):
            await self._complained.wait()
        lines = self._complaint.decode(errors="replace").strip().splitlines()
        return f"; its last words: {lines[-1][:200]}" if lines else ""


def unconfined(
    server: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Start:
    """Starts a command with the rights of this process, and not with its environment."""
    given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}

    async def start() -> ServerProcess:
        try:
            process = await anyio.open_process(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**given, **(environment or {})},
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise McpUnavailableError(
                server, f"{command[0]!r} cannot be started: {os.strerror(error.errno or 0)}"
            ) from None
        return _Group(process)

    return start


class _Group:
    """A process that is a group of its own, so that what it starts ends with it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        assert process.stdin is not None  # noqa: S101 - for the checkers: all three were asked for
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def aclose(self) -> None:
        for stream in (self.stdout, self.stderr):
            await stream.aclose()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
