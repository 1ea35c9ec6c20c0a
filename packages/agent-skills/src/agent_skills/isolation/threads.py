"""Threads for calls that block, for one event loop (asyncio), made for calls as short as a step between threads is long.

A call goes out by the queue that wakes a thread soonest, and what came of it comes back by an eventfd, on which the loop
waits as on any socket. `call_soon_threadsafe` would take a socket, three system calls and an exception for each, and
anyio's worker threads that, a turn of the loop and a limiter besides: half of the way there and back. agent-memory, which
this package may not import, has the same for one thread that writes.
"""

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Call(NamedTuple, Generic[T]):
    work: Callable[[], T]
    answer: "asyncio.Future[T]"
    afterwards: Callable[[], object] | None


class _Failed(NamedTuple):
    """What came of a call that raised."""

    error: BaseException


class ThreadPool:
    """Up to `size` threads. Make it in the event loop that it is for."""

    def __init__(self, name: str, size: int, *, spare: int = 0) -> None:
        """A thread is started once a call would have to wait without it.

        Args:
            name: Of its threads, as debuggers show it.
            size: So many threads at the most.
            spare: So many more than there are calls, where `size` allows it: the next call then does not wait for what is
                done `afterwards` of the last one.
        """
        self._name = name
        self._size = size
        self._spare = spare
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._bell = _Bell(self._loop)
        self._threads: list[threading.Thread] = []
        # They end behind the calls that they were given; also where this is not closed. The interpreter ends without them.
        self._end = weakref.finalize(self, _end, self._calls, self._threads, self._loop, self._bell)
        self._end.atexit = False

    def is_of_this_loop(self) -> bool:
        """Whether calls can be made from where this is asked."""
        return self._loop is asyncio.get_running_loop()

    async def run(self, work: Callable[[], T], afterwards: Callable[[], object] | None = None) -> T:
        """What `work` returns, or its error; it goes on where this is cancelled, unless it has not begun.

        `afterwards` is called in the same thread once the answer is on its way, whatever it is, and must not raise.

        Raises:
            RuntimeError: this was closed.
        """
        if not self._end.alive:
            raise RuntimeError("the threads have ended")
        if self._bell.awaited + self._spare >= len(self._threads) < self._size:
            # A daemon: what was left behind does not keep the program from ending.
            thread = threading.Thread(
                target=_serve, args=(self._calls, self._bell), name=self._name, daemon=True
            )
            thread.start()
            self._threads.append(thread)
        answer: asyncio.Future[T] = self._loop.create_future()
        self._bell.awaited += 1
        self._calls.put(_Call(work, answer, afterwards))  # type: ignore[arg-type]  # a call takes what it makes itself
        return await answer

    def close(self) -> tuple[threading.Thread, ...]:
        """End the threads behind the calls that they were given; returns those to join. A second call does nothing."""
        threads = tuple(self._threads)
        self._end()
        return threads


class _Bell:
    """What has ended, and the eventfd that tells the loop.

    It is closed once nothing refers to this: the loop may have the answer while its thread is still about to ring.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.awaited = 0
        """Calls of which the loop does not know yet that they ended; those that nobody waits for are among them."""
        self._ended: deque[tuple[asyncio.Future[object], object | _Failed]] = deque()
        self._is_closed = False
        self._loop = loop
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Not when the interpreter ends: threads that go on may ring yet, and the number must not be another's.
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        loop.add_reader(self._descriptor, self._deliver)

    def ring(self, answer: "asyncio.Future[object]", outcome: object | _Failed) -> None:
        """Have an answer delivered; from any thread."""
        self._ended.append((answer, outcome))
        os.eventfd_write(self._descriptor, 1)

    def _deliver(self) -> None:
        with suppress(BlockingIOError):  # the loop was told of one that the last turn took along
            os.eventfd_read(self._descriptor)
        while self._ended:
            answer, outcome = self._ended.popleft()
            self.awaited -= 1
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(outcome, _Failed):
                answer.set_exception(outcome.error)
            else:
                answer.set_result(outcome)
        self._leave()

    def close(self) -> None:
        """Leave the loop once the last call has ended."""
        self._is_closed = True
        self._leave()

    def _leave(self) -> None:
        if self._is_closed and not self.awaited:
            self._loop.remove_reader(self._descriptor)


def _serve(calls: "SimpleQueue[_Call[object] | None]", bell: _Bell) -> None:
    while call := calls.get():
        outcome: object | _Failed = None
        if not call.answer.done():
            try:
                outcome = call.work()
            except StopIteration as error:  # a future refuses it
                outcome = _Failed(RuntimeError(f"it raised {error!r}"))
            except BaseException as error:  # noqa: BLE001 - it is the caller's: whoever waits must not wait for ever
                outcome = _Failed(error)
        answer, afterwards = call.answer, call.afterwards
        del call  # else it would be kept until the next
        # Little may stand behind this: the loop is awake now, and wants the interpreter for itself.
        bell.ring(answer, outcome)
        del answer, outcome
        if afterwards:
            afterwards()
            del afterwards


def _end(
    calls: "SimpleQueue[_Call[object] | None]",
    threads: list[threading.Thread],
    loop: asyncio.AbstractEventLoop,
    bell: _Bell,
) -> None:
    for _ in threads:
        calls.put(None)
    with suppress(RuntimeError):  # the loop is closed, and has forgotten it
        loop.call_soon_threadsafe(bell.close)
