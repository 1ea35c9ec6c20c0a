"""Workers of one kind, kept warm: a call takes a free one, waits for one, or is refused. Belongs to one event loop.

A worker that dies is not missed: the next call starts another. With `calls_per_worker=1` nothing that a call did is there
for the next one, and a fresh worker is started ahead of need.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from agent_skills.errors import IsolationError, SkillBusyError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation.failure import Failure
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.process import Message, OnProgress, WorkerProcess

MAX_WAITING = 64
"""Calls that may wait for a worker; further ones are refused."""
LOADING_TIMEOUT_S = 30.0
"""Seconds that a worker may take for its first question: the import of a plugin."""
CLOSED = "it is not needed any more"


class WorkerPool:
    """Up to `size` workers."""

    def __init__(
        self,
        name: str,
        launch: Callable[[], Launch],
        *,
        first: Message | None = None,
        size: int = 1,
        calls_per_worker: int = 0,
        max_waiting: int | None = None,
    ) -> None:
        """`launch` says how one is started, anew for each; `first` is what each is asked before any call.

        `calls_per_worker` is how many calls one serves before it is replaced; 0: any number.
        `max_waiting` is how many calls may wait, `MAX_WAITING` if nothing is said.
        """
        self.name = name
        self._launch = launch
        self._first = first
        self._size = size
        self._calls_per_worker = calls_per_worker
        self._max_waiting = MAX_WAITING if max_waiting is None else max_waiting
        self._idle: deque[WorkerProcess] = deque()
        self._busy: set[WorkerProcess] = set()
        self._ending: set[WorkerProcess] = set()
        self._starting = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None] | asyncio.Task[WorkerProcess]] = set()
        self._closed = False

    @property
    def workers(self) -> int:
        """How many are running or starting."""
        return len(self._idle) + len(self._busy) + self._starting

    async def ask(
        self, message: Message, *, name: str, timeout_s: float, on_progress: OnProgress | None = None
    ) -> Message:
        """One call, by the first worker that is free. Waiting for one counts towards the deadline; starting one does not.

        Raises:
            SkillTimeoutError: it did not end in time; its worker is dead.
            SkillBusyError: too many calls are waiting.
            WorkerDiedError: its worker ended without an answer.
            IsolationError: no worker could be started.
        """
        worker = self._take()
        if worker is None:
            began = asyncio.get_running_loop().time()
            worker = await self._wait(name, timeout_s)
            timeout_s -= asyncio.get_running_loop().time() - began
        if not isinstance(worker, WorkerProcess):
            worker = await self._start()
        self._busy.add(worker)
        try:
            return await worker.ask(message, timeout_s=timeout_s, on_progress=on_progress)
        finally:
            self._busy.discard(worker)
            self._give_back(worker)

    def _take(self) -> "WorkerProcess | bool | None":
        """A warm worker; True: one may be started; None: wait."""
        if self._closed:
            raise WorkerDiedError(self.name, CLOSED)
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
        return True if self.workers < self._size else None

    async def _wait(self, name: str, timeout_s: float) -> "WorkerProcess | bool":
        if len(self._waiting) >= self._max_waiting:
            raise SkillBusyError(name, self._size + len(self._waiting))
        try:
            async with asyncio.timeout(timeout_s):
                while (worker := self._take()) is None:
                    turn = asyncio.get_running_loop().create_future()
                    self._waiting.append(turn)
                    try:
                        await turn
                    finally:
                        if turn in self._waiting:
                            self._waiting.remove(turn)
        except TimeoutError:
            self._wake()
            raise SkillTimeoutError(name, timeout_s) from None
        except asyncio.CancelledError:
            self._wake()  # the turn may have been given to us just now
            raise
        return worker

    async def _start(self) -> WorkerProcess:
        """Start one, which is busy from then on; it ends when the pool is closed meanwhile."""
        self._starting += 1
        starting = asyncio.get_running_loop().create_task(self._begin())
        self._tasks.add(starting)
        starting.add_done_callback(self._started)
        try:
            return await starting
        except BaseException as error:
            if starting.done() and not starting.cancelled() and starting.exception() is None:
                # cancelled as it was ready
                self._busy.discard(starting.result())
                self._give_back(starting.result())
            self._wake()
            if self._closed and isinstance(error, asyncio.CancelledError) and not _is_cancelled():
                raise WorkerDiedError(self.name, CLOSED) from None
            raise

    async def _begin(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self.name, self._launch())
        await self._ask_first(worker)
        return worker

    def _started(self, starting: "asyncio.Task[WorkerProcess]") -> None:
        self._tasks.discard(starting)
        self._starting -= 1
        if not starting.cancelled() and starting.exception() is None:
            self._busy.add(starting.result())

    async def _ask_first(self, worker: WorkerProcess) -> None:
        if self._first is None:
            return
        try:
            answer = await worker.ask(self._first, timeout_s=LOADING_TIMEOUT_S)
        except BaseException:
            await worker.aclose()
            raise
        if "error" in answer:
            await worker.aclose()
            reason = Failure.read(answer["error"]).line
            raise IsolationError(f"a worker of {self.name} could not load it: {reason}")
        worker.calls = 0

    def _give_back(self, worker: WorkerProcess) -> None:
        if self._closed or (self._calls_per_worker and worker.calls >= self._calls_per_worker):
            worker.kill()
        if worker.is_alive:
            self._idle.append(worker)
            self._wake()
            return
        self._ending = {one for one in self._ending if not one.is_gone} | {worker}
        if self._calls_per_worker and not self._closed and not self._idle and self.workers < self._size:
            self._ahead()
        self._wake()

    def _ahead(self) -> None:
        """Start one before it is needed."""

        async def start() -> None:
            try:
                worker = await self._start()
                self._busy.discard(worker)
                self._give_back(worker)
            except Exception:  # noqa: BLE001 - the call that needs one finds out, and says so
                return

        task = asyncio.get_running_loop().create_task(start())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def aclose(self) -> None:
        """Kill all workers and wait until they are gone; calls that run, start or wait end with `WorkerDiedError`."""
        self._closed = True
        while self._waiting:
            self._wake()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*cast("set[asyncio.Task[object]]", self._tasks), return_exceptions=True)
        workers = [*self._idle, *self._busy, *self._ending]
        self._idle.clear()
        await asyncio.gather(*(worker.aclose() for worker in workers))


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task; else what it waited for was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
