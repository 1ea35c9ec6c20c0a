"""The quick half of `monty`: snippets that call nothing, each in a thread that waits for its process.

A caller waits for two steps between threads and one between processes: the session that its snippet runs in was made
before the snippet came, and is thrown away after it was answered. Monty's awaitable sessions go through an event loop of
their own, three times for each snippet; only who calls functions of this process needs them.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

from agent_skills.errors import WorkerDiedError

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession, ResourceLimits

    Feed = Callable[[MontySession], object]


class SnippetThreads:
    """Up to `size` snippets at once; further ones wait. Belongs to one event loop."""

    def __init__(self, pool: "Monty", limits: "ResourceLimits", size: int) -> None:
        """`pool` has been entered, and has room for `size` sessions; it is left by `aclose`."""
        self._pool = pool
        self._limits = limits
        self._size = size
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._under_way: set[_Job] = set()
        self._threads: list[threading.Thread] = []

    async def run(self, feed: "Feed") -> object:
        """What `feed` returns of a session of its own; if this is cancelled, the session's process ends.

        Raises:
            MontyError: whatever the snippet raised, or that its process ended.
            WorkerDiedError: this was closed before it began.
        """
        job = _Job(feed)
        self._under_way.add(job)
        if len(self._under_way) > len(self._threads) < self._size:
            # A daemon: an interpreter that nobody closes does not keep the program from ending.
            self._threads.append(threading.Thread(target=self._serve, name="monty", daemon=True))
            self._threads[-1].start()
        self._jobs.put(job)
        try:
            return await job.answer
        except asyncio.CancelledError:
            job.end_process()
            raise
        finally:
            self._under_way.discard(job)

    def _serve(self) -> None:
        job: _Job | None
        while True:
            session = self._ahead()
            job = self._jobs.get()
            if job is None:
                break
            session = self._answer(job, session)
            _leave(session)
        _leave(session)

    def _ahead(self) -> "MontySession | None":
        """A session before it is needed; None where there is none: who needs it tries again, and is told why."""
        try:
            return self._enter()
        except Exception:  # noqa: BLE001 - nobody waits for it
            return None

    def _enter(self) -> "MontySession":
        return self._pool.checkout(limits=self._limits).__enter__()

    def _answer(self, job: "_Job", session: "MontySession | None") -> "MontySession | None":
        """Answer a job in the session, or in another if that one has died; returns the one that is to be left."""
        try:
            if session is None or not _is_alive(session):
                _leave(session)
                session = None
                session = self._enter()
            value = job.serve(session)
        except BaseException as error:  # noqa: BLE001 - it belongs to who waits
            job.fail(error)
        else:
            job.settle(value)
        return session

    async def aclose(self) -> None:
        """End what runs, the threads and the processes."""
        for job in self._under_way:
            job.end_process()
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        self._pool.__exit__(None, None, None)


def _is_alive(session: "MontySession") -> bool:
    """Whether the process of a session is still there: it may have waited for long, and been killed for its memory."""
    try:
        return os.waitid(os.P_PID, session.worker_pid or -1, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _leave(session: "MontySession | None") -> None:
    if session is not None:
        with suppress(Exception):  # its process may have died: the thread has further snippets to serve
            session.__exit__(None, None, None)


class _Job:
    """A snippet on its way, and which process serves it for as long as it does: afterwards it may serve another."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[object] = self._loop.create_future()
        self._lock = threading.Lock()
        self._process: int | None = None
        self._is_unwanted = False

    def serve(self, session: "MontySession") -> object:
        """Run it, in the thread that calls this.

        Raises:
            MontyError: as `SnippetThreads.run`.
            WorkerDiedError: it was ended before.
        """
        with self._lock:
            if self._is_unwanted:
                raise WorkerDiedError("Monty", "it is not needed any more")
            self._process = session.worker_pid
        try:
            return self._feed(session)
        finally:
            with self._lock:
                self._process = None

    def settle(self, value: object) -> None:
        """Give who waits the value, from any thread."""
        self._tell(self.answer.set_result, value)

    def fail(self, error: BaseException) -> None:
        """Give who waits an error, from any thread."""
        self._tell(self.answer.set_exception, error)

    def _tell(self, tell: Callable[..., None], what: object) -> None:
        def now() -> None:
            if not self.answer.done():  # cancelled meanwhile
                tell(what)

        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(now)

    def end_process(self) -> None:
        """Stop it, wherever it is; from any thread."""
        with self._lock:
            self._is_unwanted = True
            if self._process is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGKILL)
