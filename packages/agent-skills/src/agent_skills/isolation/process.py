"""One worker process as the host sees it: started, asked line by line, killed. Belongs to one event loop.

A worker is one of three things: starting, serving one call, or dead. What it says is bounded, and a call that ends in any
other way than with an answer (deadline, cancellation, too much output) kills it: nothing of it is trusted afterwards.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from agent_skills.errors import IsolationError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation.failure import Failure
from agent_skills.isolation.handshake import Handshake
from agent_skills.isolation.launching import Launch

if TYPE_CHECKING:
    from agent_skills.isolation.egress_proxy import EgressProxy

START_TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""One line of a worker; a longer one kills it."""
_CHUNK = 256 * 1024
_LAST_WORDS_S = 2.0

OnProgress = Callable[[object], None]
Message = Mapping[str, object]
Streams = tuple[int, int, int]


class WorkerProcess:
    """A worker that is running, or was."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name = name
        self.calls = 0
        self._launch = launch
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._answer: asyncio.Future[Message] | None = None
        self._on_progress: OnProgress | None = None
        self._gone = asyncio.Event()
        self._init = -1  # pidfd of the first process of a sandbox: with it everything inside goes
        self._pidfd = -1
        self._meeting: asyncio.Future[int] | None = None
        self._streams: Streams = (subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)
        self._is_becoming = False
        self._egress: EgressProxy | None = None
        self.is_alive = False

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended, and nothing of it is left."""
        return self._gone.is_set()

    @classmethod
    async def start(cls, name: str, launch: Launch, *, streams: Streams | None = None) -> "WorkerProcess":
        """Start one; it has given up its rights when this returns.

        `streams` are the descriptors of its input, output and errors; none of them leads anywhere if nothing is said.

        Raises:
            IsolationError: it did not start, or could not give up its rights.
        """
        worker = cls(name, launch)
        worker._streams = streams or worker._streams
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker._start()
        except BaseException as error:
            await worker.aclose()
            if isinstance(error, asyncio.CancelledError | IsolationError):
                raise
            raise IsolationError(
                f"a worker for {name} did not start: {str(error) or type(error).__name__}"
            ) from error
        return worker

    async def _start(self) -> None:
        launch = self._launch
        handshake: Handshake | None = None
        try:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            self._socket = ours
            with theirs:
                handshake = Handshake(launch) if launch.tells_pid else None
                self._process = _spawn(launch, theirs.fileno(), handshake, self._streams)
                self._pidfd = _watched(self._process)
        except OSError:
            if handshake:
                handshake.close()
            self._clear()
            raise
        self.is_alive = True
        self._loop.add_reader(self._pidfd, self._on_exit)
        if handshake:
            self._meeting = self._loop.run_in_executor(None, handshake.perform)
            self._meeting.add_done_callback(self._on_met)
            await asyncio.shield(self._meeting)
        self._loop.add_reader(ours.fileno(), self._on_readable)
        answer = await self._exchange(launch.order())
        if launch.egress.hosts and self._egress is None:
            raise IsolationError(f"a worker for {self.name} has no way out, and hosts were given to it")
        if "ok" not in answer:
            raise IsolationError(
                f"a worker for {self.name} could not give up its rights: {Failure.read(answer.get('error')).line}"
            )

    async def ask(
        self, message: Message, *, timeout_s: float, on_progress: OnProgress | None = None
    ) -> Message:
        """Send one call and wait for its end: a mapping with `ok`, or with `error`.

        Raises:
            SkillTimeoutError: it did not end within `timeout_s`; the worker is dead.
            WorkerDiedError: the worker ended, or said more than it may.
        """
        self.calls += 1
        self._on_progress = on_progress
        timer = self._loop.call_later(timeout_s, self._expire, timeout_s)
        try:
            return await self._exchange(message)
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            timer.cancel()
            self._on_progress = None

    async def become(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Have it become a program, which keeps its streams and what it gave up, and cannot be asked anything.

        Raises:
            IsolationError: there is no such program in there, or it cannot be started.
        """
        self._is_becoming = True
        answer = await self._exchange({"become": list(argv), "environment": dict(environment)})
        if "ok" not in answer:
            reason = Failure.read(answer.get("error")).line
            raise IsolationError(f"{argv[0]!r} cannot be started in a sandbox: {reason}")

    async def wait(self) -> int:
        """Wait for its end; returns its exit status, or the negative number of the signal that ended it."""
        await self._gone.wait()
        return self._process.returncode

    async def _exchange(self, message: Message) -> Message:
        if not self.is_alive:
            raise WorkerDiedError(self.name, self._how_it_ended())
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._answer = answer
        data = msgspec.json.encode(message) + b"\n"
        try:
            sent = self._send(data)
            if sent < len(data):
                sending = asyncio.ensure_future(self._loop.sock_sendall(self._socket, data[sent:]))
                try:
                    await asyncio.wait((sending, answer), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sending.cancel()
            return await answer
        finally:
            self._answer = None

    def _send(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # it is gone; why is seen a moment later

    def _on_readable(self) -> None:
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        except IsolationError as error:
            self._fail(error)
            self.kill()
            return
        if not data and self._is_becoming:
            self._loop.remove_reader(self._socket.fileno())
            self._take(b'{"ok":null}')  # the program has taken its place
            return
        if not data:
            # Its end is seen a moment later, with the reason; one that goes on without a word is ended.
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(_LAST_WORDS_S, self._end, "it closed its end")
            return
        searched = len(self._buffer)
        self._buffer += data
        if len(self._buffer) > MAX_ANSWER_BYTES:
            self._end(f"it said more than {MAX_ANSWER_BYTES:,} bytes")
            return
        while (end := self._buffer.find(b"\n", searched)) >= 0:
            line, searched = bytes(self._buffer[:end]), 0
            del self._buffer[: end + 1]
            self._take(line)

    def _receive(self) -> bytes:
        if self._egress or not self._launch.egress.hosts:
            return self._socket.recv(_CHUNK)
        # Nothing but our own code has run in there so far.
        data, descriptors, _, _ = socket.recv_fds(self._socket, _CHUNK, 1)
        for descriptor in descriptors:
            from agent_skills.isolation.egress_proxy import EgressProxy  # noqa: PLC0415 - only who is given hosts

            self._egress = EgressProxy(socket.socket(fileno=descriptor), self._launch.egress)
        return data

    def _take(self, line: bytes) -> None:
        try:
            said = cast("object", msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            said = None
        if not isinstance(said, dict):
            self._end("it said what is no answer")
            return
        message = cast("Message", said)
        if "progress" in message:
            if self._on_progress is not None:
                self._on_progress(message["progress"])
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(message)
        else:
            self._end("it spoke without being asked")

    def _expire(self, timeout_s: float) -> None:
        self._fail(SkillTimeoutError(self.name, timeout_s))
        self.kill()

    def _end(self, reason: str) -> None:
        self._fail(WorkerDiedError(self.name, reason))
        self.kill()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _how_it_ended(self) -> str:
        status = self._process.poll() if hasattr(self, "_process") else None
        if status is None:
            return "it closed its end"
        if status < 0:
            return (
                f"signal {signal.Signals(-status).name}"
                if -status in set(signal.Signals)
                else f"signal {-status}"
            )
        return f"exit status {status}"

    def kill(self) -> None:
        """End it and all that it started, at once. May be called at any time, and twice."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._fail(WorkerDiedError(self.name, "it was ended"))
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._egress:
            self._egress.close()
        if self._meeting is None or self._meeting.done():
            self._signal()

    def _on_met(self, meeting: "asyncio.Future[int]") -> None:
        if meeting.cancelled() or meeting.exception() is not None:
            self._signal()  # without a first process there is nothing inside
            return
        self._init = meeting.result()
        if not self.is_alive:
            self._signal()

    def _signal(self) -> None:
        if self._init >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            os.close(self._init)
            self._init = -1
        if not self.is_gone:  # once it is reaped, the number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _on_exit(self) -> None:
        """The process ended; whoever it started goes along."""
        if self.is_alive:
            self._end(self._how_it_ended())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._clear()
        self._gone.set()

    def _clear(self) -> None:
        if self._launch.temporary:
            self._launch.temporary.remove()

    async def aclose(self) -> None:
        """Kill it and wait until it is gone; may be called twice."""
        self.kill()
        if self._pidfd >= 0:
            await self._gone.wait()
        elif hasattr(self, "_socket"):
            self._socket.close()


def _watched(process: "subprocess.Popen[bytes]") -> int:
    """Its pidfd. Where there is none to be had, it is ended: nobody would see that it does.

    Raises:
        OSError: this process has no descriptor left.
    """
    try:
        return os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise


def _spawn(
    launch: Launch, descriptor: int, handshake: Handshake | None, streams: Streams
) -> "subprocess.Popen[bytes]":
    options = handshake.options() if handshake else ()
    inherited = handshake.descriptors() if handshake else ()
    program, *rest = launch.command
    # In the loop's own thread: a worker dies with the *thread* that started it.
    return subprocess.Popen(  # noqa: S603 - it returns once the program is loaded
        [program, *options, *rest, str(descriptor)],
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        env=launch.environment,
        pass_fds=(descriptor, *inherited),
        start_new_session=True,
    )
