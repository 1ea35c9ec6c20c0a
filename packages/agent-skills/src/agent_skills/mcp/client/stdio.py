"""A server as a child process that speaks over standard input and output."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from agent_skills.mcp import wire
from agent_skills.mcp.client.channel import Inbox, Lost
from agent_skills.mcp.errors import McpRefusedError, McpUnavailableError

GRACE_S = 2.0
"""How long a process may take to end by itself once its input is closed, and again once it was asked to."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_STDERR_BYTES = 2_000
_LAST_WORDS_S = 1.0

Wrap = Callable[[Sequence[str]], Sequence[str]]
"""Makes the command of a sandbox out of a command."""


class StdioChannel:
    """A channel over a process of its own. It is a group of its own, so that what it starts ends with it."""

    discovery_s = 10.0  # some old servers say nothing to what they do not know

    def __init__(
        self,
        server: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        wrap: Wrap | None = None,
    ) -> None:
        """`wrap` puts the command into a sandbox."""
        self._server = server
        self._command = list(wrap(command) if wrap else command)
        given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._environment = {**given, **(environment or {})}
        self._folder = folder
        self._process: Process | None = None
        self._lock = anyio.Lock()
        self._complaint = b""
        self._complained = anyio.Event()

    async def open(self, tasks: TaskGroup, inbox: Inbox, lost: Lost) -> None:
        """Start the process."""
        try:
            self._process = await anyio.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        except OSError as error:
            raise McpUnavailableError(
                self._server, f"{self._command[0]!r} cannot be started: {os.strerror(error.errno or 0)}"
            ) from None
        tasks.start_soon(self._read, self._process, inbox, lost)
        tasks.start_soon(self._listen_to_complaints, self._process)

    async def send(self, message: wire.Message, headers: dict[str, str]) -> None:  # noqa: ARG002 - of HTTP alone
        """Write one line."""
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            raise McpUnavailableError(self._server, "its process is not running")
        try:
            # Half a line would spoil all that follow: a cancelled caller waits until it is written.
            async with self._lock:
                with anyio.CancelScope(shield=True), anyio.fail_after(GRACE_S):
                    await stdin.send(wire.encode(message) + b"\n")
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
                if process.stdin is not None:
                    await process.stdin.aclose()
            for number in (None, signal.SIGTERM, signal.SIGKILL):
                if number is not None:
                    _signal(process.pid, number)
                with anyio.move_on_after(GRACE_S):
                    await process.wait()
                    break
            _signal(process.pid, signal.SIGKILL)  # what it left behind in its group
            await process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()

    async def _read(self, process: Process, inbox: Inbox, lost: Lost) -> None:
        assert process.stdout is not None  # noqa: S101 - for the checkers: it was asked for
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

    async def _listen_to_complaints(self, process: Process) -> None:
        assert process.stderr is not None  # noqa: S101 - as above
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


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
