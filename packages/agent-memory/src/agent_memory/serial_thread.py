"""A thread that makes one call after the other, in the order in which they came, for one event loop (asyncio).

Made for calls that take as long as a disk does, a tenth of a millisecond: to go to an executor of `concurrent.futures` and
come back costs as much again. So a call goes out by the queue that wakes its thread soonest, and what came of it comes
back by an eventfd, which the loop reads once; `call_soon_threadsafe` takes a socket, three system calls and an exception.

Linux facts: eventfd(2), a semaphore hands out one call's end at a time.
"""

import asyncio
import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Failed(NamedTuple):
    """What came of a call that raised."""

    error: BaseException


_Then: TypeAlias = Callable[[T | Failed], object]


_gone = Failed(asyncio.CancelledError())


class _Call(NamedTuple, Generic[T]):
    work: Callable[[], T]
    then: _Then[T]


_Over: TypeAlias = deque[tuple[_Then[object], object | Failed]]


class SerialThread:
    """The thread. Make it in the event loop that it is for, and close it there."""

    def __init__(self, name: str) -> None:
        """`name`: as debuggers show it."""
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        over: _Over = deque()
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self._loop.add_reader(bell, _deliver, bell, over)
        # Not waited for when the interpreter ends: what nobody awaited was not promised to be made.
        threading.Thread(
            target=_serve, args=(self._calls, over, bell, self._loop), name=name, daemon=True
        ).start()
        # It ends behind its last call; also where it is not closed.
        self._end = weakref.finalize(self, self._calls.put, None)

    def post(self, work: Callable[[], T], then: Callable[[T | Failed], object]) -> None:
        """Call `work` in the thread, and then `then`, which must not raise, in the loop with what came of it.

        Raises:
            RuntimeError: it was closed.
        """
        if not self._end.alive:
            raise RuntimeError("the thread has ended")
        self._calls.put(_Call(work, then))  # type: ignore[arg-type]  # a call takes what it makes itself

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `call` returns, or its error. If cancelled before its turn, it is not called.

        Raises:
            RuntimeError: it was closed.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def work() -> T | Failed:
            return _gone if future.done() else call(*args, **kwargs)

        self.post(work, functools.partial(_settle, future))
        return await future

    def close(self) -> None:
        """End the thread behind the calls that it was given; it is not waited for. A second call does nothing."""
        self._end()


def _serve(
    calls: "SimpleQueue[_Call[object] | None]", over: _Over, bell: int, loop: asyncio.AbstractEventLoop
) -> None:
    while call := calls.get():
        outcome: object | Failed
        try:
            outcome = call.work()
        except BaseException as error:  # noqa: BLE001  # it is the caller's: whoever waits must not wait for ever
            outcome = Failed(error)
        over.append((call.then, outcome))
        del call, outcome  # else they would be kept until the next
        # Nothing may stand behind this: the loop is awake now, and wants the interpreter for itself.
        os.eventfd_write(bell, 1)
    try:
        loop.call_soon_threadsafe(_hang_up, loop, bell, over)
    except RuntimeError:  # the loop was closed before
        os.close(bell)


def _deliver(bell: int, over: _Over) -> None:
    os.eventfd_read(bell)
    then, outcome = over.popleft()
    then(outcome)


def _hang_up(loop: asyncio.AbstractEventLoop, bell: int, over: _Over) -> None:
    while over:  # the loop may come here before it has seen the bell
        _deliver(bell, over)
    loop.remove_reader(bell)
    os.close(bell)


def _settle(future: asyncio.Future[T], outcome: T | Failed) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(outcome, Failed):
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome)
