"""Group commit: what arrives while a commit is under way is committed together, in the next one.

One commit costs one wait for the disk however much is in it, so throughput grows with concurrency and nobody waits
for a timer. Everything but the commit itself runs in the event loop, so there are no locks. Knows no database.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Item, Outcome]):
    """Collects items and gives them to `commit`, a blocking function, in a single thread.

    `commit` returns an outcome or an error for each item, in order; it runs once at a time.
    """

    def __init__(
        self, thread: Executor, commit: Callable[[Sequence[Item]], Sequence[Outcome | Exception]]
    ) -> None:
        self._thread = thread
        self._commit = commit
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Outcome:
        """The outcome of committing `item`, or its error. If cancelled, the item may be committed all the same."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._committing is None:
            # The task starts in the next round of the loop: all that this round submits goes into one commit.
            self._committing = asyncio.create_task(self._commit_all(), name="group-commit")
        return await future

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        if self._committing is not None:
            await asyncio.wait((self._committing,))

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        try:
            while self._waiting:
                # An item whose caller has gone before its commit began is dropped.
                batch = [(item, future) for item, future in self._waiting if not future.done()]
                self._waiting = []
                items = [item for item, _ in batch]
                outcomes = await loop.run_in_executor(self._thread, self._commit, items)
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    _settle(future, outcome)
        except BaseException as error:
            # The loop is closing, or `commit` broke its promise: whoever waits must not wait for ever.
            for _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_exception(error)
            self._waiting = []
            if not isinstance(error, Exception):
                raise
        finally:
            self._committing = None


def _settle(future: asyncio.Future[Outcome], outcome: Outcome | Exception) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
