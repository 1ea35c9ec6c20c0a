"""One request to an engine whose calls block: it runs in a worker thread and is read from the event loop, which never
waits. Knows no engine.
"""

import contextlib
import math
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.lowlevel

from agent_gateway.errors import ProviderRefusedError
from agent_gateway.failures import Target

C = TypeVar("C")
T = TypeVar("T")


class Decodings:
    """What one engine is at work on: at most `slots` requests at once, in as many threads; further ones wait, the
    longest waiting first.
    """

    def __init__(self, slots: int, name: str) -> None:
        """`name` is what its threads are called."""
        self._slots = anyio.Semaphore(slots)
        self._threads = slots
        self._name = name
        self._workers: ThreadPoolExecutor | None = None
        self._making = threading.Lock()
        self._running: set[Decoding[Any, Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait until fewer than `slots` others are in their turn."""
        async with self._slots:
            yield

    @contextlib.asynccontextmanager
    async def run(
        self, work: Callable[[Callable[[C], bool]], T], *, patience_s: float = math.inf
    ) -> "AsyncGenerator[Decoding[C, T]]":
        """`work` in a thread for as long as the block lasts; leaving it early stops the engine.

        An engine that cannot stop within `patience_s` is left to end by itself; its thread is not free until then.
        """
        decoding = Decoding(self._pool(), work)
        self._running.add(decoding)
        try:
            yield decoding
        finally:
            decoding.cancel()
            with anyio.move_on_after(patience_s, shield=True):
                await decoding.ended()
            self._running.discard(decoding)

    def stop(self) -> None:
        """Stop all of it and wait until it has stopped: a thread at work would keep the model in memory. Blocking."""
        for decoding in tuple(self._running):
            decoding.cancel()
        with self._making:
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown()

    def _pool(self) -> ThreadPoolExecutor:
        with self._making:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
            return self._workers


class Decoding(Generic[C, T]):
    """One request in a worker thread, read from the event loop.

    Only the loop touches `_news`; the thread appends to the deque, which is safe, and asks the loop to look.
    """

    def __init__(self, workers: ThreadPoolExecutor, work: Callable[[Callable[[C], bool]], T]) -> None:
        self._queue: deque[C] = deque()
        self._news = anyio.Event()
        self._cancelled = False
        self._post = _poster()
        self._future: Future[T] = workers.submit(work, self._on_chunk)
        self._future.add_done_callback(lambda _: self._wake())

    async def chunks(self) -> AsyncIterator[C]:
        """The chunks as they come, until the thread has ended."""
        while True:
            over = self._future.done()  # asked first: what came before the end is then in the queue
            while self._queue:
                yield self._queue.popleft()
            if over:
                return
            await self._wait()

    async def ended(self) -> None:
        """Wait until the thread has ended."""
        while not self._future.done():
            self._queue.clear()
            await self._wait()

    def cancel(self) -> None:
        """Make the next callback stop the engine."""
        self._cancelled = True

    def result(self, target: Target) -> T:
        """What the work returned, or what the engine raised: it checks a request in Python's terms before it decodes."""
        try:
            return self._future.result(timeout=0)
        except (ValueError, RuntimeError) as error:
            raise ProviderRefusedError(target.where, str(error)) from error

    async def _wait(self) -> None:
        self._news = anyio.Event()
        if not self._queue and not self._future.done():
            await self._news.wait()

    def _on_chunk(self, chunk: C) -> bool:
        """Called in the worker thread; true stops the engine."""
        self._queue.append(chunk)
        self._wake()
        return self._cancelled

    def _look(self) -> None:
        """Called in the loop: the event of now, not the one of when the thread asked."""
        self._news.set()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed under a stream that nobody closed
            self._post(self._look)
            return
        self._cancelled = True


def _poster() -> Callable[[Callable[[], None]], object]:
    """What makes the running event loop call a function soon, from any thread, without waiting for it.

    `anyio.from_thread.run_sync` would wait, and for ever where the loop has ended.
    """
    loop = anyio.lowlevel.current_token().native_token
    post = getattr(loop, "call_soon_threadsafe", None) or getattr(loop, "run_sync_soon")  # noqa: B009 (asyncio, trio)
    return cast("Callable[[Callable[[], None]], object]", post)
