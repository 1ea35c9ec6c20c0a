"""Group commit: what arrives while a commit is under way is committed together, in the next one.

One commit costs one wait for the disk however much is in it, so throughput grows with concurrency and nobody waits
for a timer. Everything but the commit itself runs in the event loop, so there are no locks. Knows no database.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from agent_memory.serial_thread import Failed, SerialThread

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
_Batch: TypeAlias = list[tuple[Item, asyncio.Future[Outcome]]]


class GroupCommit(Generic[Item, Outcome]):
    """Collects items and gives them to `commit`, a blocking function, in a thread.

    `commit` returns an outcome or an error for each item, in order; it runs once at a time.
    """

    def __init__(
        self, thread: SerialThread, commit: Callable[[Sequence[Item]], Sequence[Outcome | Exception]]
    ) -> None:
        self._thread = thread
        self._commit = commit
        self._waiting: _Batch[Item, Outcome] = []
        self._is_busy = False
        self._was_lone = False
        self._drained: list[asyncio.Future[None]] = []

    async def submit(self, item: Item) -> Outcome:
        """The outcome of committing `item`, or its error. If cancelled, the item may be committed all the same."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        if not self._is_busy:
            self._is_busy = True
            if self._was_lone:  # most likely it is again, and there is nobody to wait for
                self._begin(loop)
            else:  # in the next round of the loop: all that this round submits goes into one commit
                loop.call_soon(self._begin, loop)
        return await future

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self._is_busy:
            over = asyncio.get_running_loop().create_future()
            self._drained.append(over)
            await over

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        # An item whose caller has gone before its commit began is dropped.
        batch = [(item, future) for item, future in self._waiting if not future.done()]
        self._waiting = []
        if not batch:
            self._rest()
            return
        self._was_lone = len(batch) == 1
        work = functools.partial(self._commit, [item for item, _ in batch])
        try:
            self._thread.post(work, functools.partial(self._end, loop, batch))
        except RuntimeError as error:  # it was closed
            self._end(loop, batch, Failed(error))

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: _Batch[Item, Outcome],
        outcomes: Sequence[Outcome | Exception] | Failed,
    ) -> None:
        if not isinstance(outcomes, Failed) and len(outcomes) != len(batch):
            outcomes = Failed(RuntimeError(f"{len(outcomes)} outcomes of {len(batch)} items"))
        if isinstance(outcomes, Failed):  # it broke its promise: whoever waits must not wait for ever
            batch, self._waiting = [*batch, *self._waiting], []
            for _, future in batch:
                if not future.done():
                    future.set_exception(outcomes.error)
        else:
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                _settle(future, outcome)
        if not self._waiting:
            self._rest()
        elif (
            self._was_lone
        ):  # it is not any more: who was told just now may join the others, or would be alone for ever
            loop.call_soon(self._begin, loop)
        else:
            self._begin(loop)

    def _rest(self) -> None:
        self._is_busy = False
        drained, self._drained = self._drained, []
        for over in drained:
            if not over.done():
                over.set_result(None)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome | Exception) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
