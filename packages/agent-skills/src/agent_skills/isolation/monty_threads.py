"""The quick half of `monty`: snippets that call nothing, each in a thread that waits for its process.

A caller waits for two steps between threads and one between processes: the session that its snippet runs in was made
before the snippet came, and is thrown away after it was answered. Monty's awaitable sessions go through an event loop of
their own, three times for each snippet; only who calls functions of this process needs them.
"""

import asyncio
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from agent_skills.errors import WorkerDiedError
from agent_skills.isolation.threads import ThreadPool

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession, ResourceLimits

    Feed = Callable[[MontySession], object]


class SnippetThreads:
    """Up to `size` snippets at once; further ones wait. Belongs to one event loop."""

    def __init__(self, pool: "Monty", limits: "ResourceLimits", size: int) -> None:
        """`pool` has been entered, and has room for `size` sessions; it is left by `aclose`."""
        self._pool = pool
        self._limits = limits
        self._threads = ThreadPool("monty", size, spare=1)
        self._ready: deque[MontySession] = deque()
        """Sessions in which nothing ran yet: with those that are in use, no more than there are threads."""
        self._under_way: set[_Job] = set()

    async def run(self, feed: "Feed") -> object:
        """What `feed` returns of a session of its own; if this is cancelled, the session's process ends.

        Raises:
            MontyError: whatever the snippet raised, or that its process ended.
            WorkerDiedError: this was closed before it began.
        """
        job = _Job(feed)
        self._under_way.add(job)
        try:
            return await self._threads.run(partial(self._serve, job), partial(self._clean, job))
        except asyncio.CancelledError:
            job.end_process()
            raise
        finally:
            self._under_way.discard(job)

    def _serve(self, job: "_Job") -> object:
        try:
            session = self._ready.pop()
        except IndexError:
            session = self._enter()
        else:
            if not _is_alive(session):
                _leave(session)
                session = self._enter()
        return job.serve(session)

    def _clean(self, job: "_Job") -> None:
        """Throw the session of a job away, and make one before it is needed."""
        if job.session is not None:
            _leave(job.session)
            with suppress(Exception):  # nobody waits for it: who needs one tries again, and is told why
                self._ready.append(self._enter())

    def _enter(self) -> "MontySession":
        return self._pool.checkout(limits=self._limits).__enter__()

    async def aclose(self) -> None:
        """End what runs, the threads and the processes."""
        for job in self._under_way:
            job.end_process()
        await asyncio.to_thread(self._end, self._threads.close())

    def _end(self, threads: tuple[threading.Thread, ...]) -> None:
        for thread in threads:
            thread.join()
        for session in self._ready:
            _leave(session)
        self._pool.__exit__(None, None, None)


def _is_alive(session: "MontySession") -> bool:
    """Whether the process of a session is still there: it may have waited for long, and been killed for its memory."""
    try:
        return os.waitid(os.P_PID, session.worker_pid or -1, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _leave(session: "MontySession") -> None:
    with suppress(Exception):  # its process may have died: the thread has further snippets to serve
        session.__exit__(None, None, None)


class _Job:
    """A snippet on its way, and which process serves it for as long as it does: afterwards it may serve another."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._lock = threading.Lock()
        self._process: int | None = None
        self._is_unwanted = False
        self.session: MontySession | None = None
        """Where it ran."""

    def serve(self, session: "MontySession") -> object:
        """Run it, in the thread that calls this.

        Raises:
            MontyError: as `SnippetThreads.run`.
            WorkerDiedError: it was ended before.
        """
        self.session = session
        with self._lock:
            if self._is_unwanted:
                raise WorkerDiedError("Monty", "it is not needed any more")
            self._process = session.worker_pid
        try:
            return self._feed(session)
        finally:
            with self._lock:
                self._process = None

    def end_process(self) -> None:
        """Stop it, wherever it is; from any thread."""
        with self._lock:
            self._is_unwanted = True
            if self._process is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGKILL)
