"""A program in a sandbox (level 2) that lives on: what is written to it and what it says, and its end with all it started.

It is a worker that becomes the program once its rights are gone. Belongs to one event loop.
"""

import os
from collections.abc import Mapping, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, ByteSendStream

from agent_skills.isolation.launching import Launch
from agent_skills.isolation.process import WorkerProcess

_CHUNK_BYTES = 64 * 1024


class SandboxedProgram:
    """A program that is running, or was."""

    def __init__(self, worker: WorkerProcess, ours: "tuple[_Input, _Output, _Output]") -> None:
        self._worker = worker
        self.stdin, self.stdout, self.stderr = ours

    @classmethod
    async def start(
        cls, name: str, launch: Launch, argv: Sequence[str], environment: Mapping[str, str]
    ) -> "SandboxedProgram":
        """Start one; `environment` is all that it has.

        Raises:
            IsolationError: the sandbox could not be entered, or the program cannot be started in there.
        """
        pipes = [os.pipe() for _ in range(3)]
        (stdin, write), (read, stdout), (read_errors, stderr) = pipes
        try:
            worker = await WorkerProcess.start(name, launch, streams=(stdin, stdout, stderr))
        except BaseException:
            for ours in (write, read, read_errors):
                os.close(ours)
            raise
        finally:
            for theirs in (stdin, stdout, stderr):
                os.close(theirs)
        program = cls(worker, (_Input(write), _Output(read), _Output(read_errors)))
        try:
            await worker.become(argv, environment)
        except BaseException:
            await program.aclose()
            raise
        return program

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._worker.wait()

    def terminate(self) -> None:
        """End it and all that it started, at once: who wants to let it end by itself closes its input and waits."""
        self._worker.kill()

    kill = terminate

    async def aclose(self) -> None:
        """Kill it, wait until it is gone and close its streams; may be called twice."""
        await self._worker.aclose()
        for stream in (self.stdin, self.stdout, self.stderr):
            await stream.aclose()


class _Pipe:
    """One end of a pipe, which never blocks."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    async def aclose(self) -> None:
        """Close it; may be called twice. Whoever waits for it is told."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            anyio.notify_closing(descriptor)
            os.close(descriptor)
        await anyio.lowlevel.checkpoint()

    def _open(self) -> int:
        if self._descriptor < 0:
            raise anyio.ClosedResourceError
        return self._descriptor


class _Output(_Pipe, ByteReceiveStream):
    async def receive(self, max_bytes: int = _CHUNK_BYTES) -> bytes:
        await anyio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                data = os.read(self._open(), max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._open())
                continue
            if not data:
                raise anyio.EndOfStream
            return data


class _Input(_Pipe, ByteSendStream):
    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[os.write(self._open(), rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._open())
            except BrokenPipeError:
                raise anyio.BrokenResourceError from None
