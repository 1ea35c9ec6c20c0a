"""The quick half of `monty`: snippets that call nothing, each in a thread that waits for its process.

Monty's awaitable sessions go through an event loop of their own, three times for each snippet; a thread goes through
none, and answers in a third of the time. Only who calls functions of this process needs the other half.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession, ResourceLimits

T = TypeVar("T")


class SnippetThreads:
    """Up to `size` snippets at once; further ones wait. Belongs to one event loop."""

    def __init__(self, pool: "Monty", size: int) -> None:
        """`pool` has been entered; it is left by `aclose`."""
        self._pool = pool
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="monty")
        self._running: set[_Running] = set()

    async def run(self, limits: "ResourceLimits", feed: "Callable[[MontySession], T]") -> T:
        """What `feed` returns of a session of its own; if this is cancelled, the session's process ends.

        Raises:
            MontyError: whatever the snippet raised, or that its process ended.
        """
        running = _Running()
        self._running.add(running)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._run, running, limits, feed)
        try:
            return await work
        except asyncio.CancelledError:
            running.end_process()
            raise
        finally:
            self._running.discard(running)

    def _run(self, running: "_Running", limits: "ResourceLimits", feed: "Callable[[MontySession], T]") -> T:
        with self._pool.checkout(limits=limits) as session:
            running.begin(session.worker_pid)
            try:
                return feed(session)
            finally:
                running.end()

    async def aclose(self) -> None:
        """End what runs, the threads and the processes."""
        for running in self._running:
            running.end_process()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._pool.__exit__, None, None, None)


class _Running:
    """Which process serves a snippet, for as long as it does: afterwards it may serve another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: int | None = None
        self._unwanted = False

    def begin(self, process: int | None) -> None:
        with self._lock:
            self._process = process
        if self._unwanted:
            self.end_process()

    def end(self) -> None:
        with self._lock:
            self._process = None

    def end_process(self) -> None:
        self._unwanted = True
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None:
                os.kill(self._process, signal.SIGKILL)
