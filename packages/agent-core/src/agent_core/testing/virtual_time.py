"""An event loop in which waiting takes no time and a seed decides who goes first: the same seed, the same history.

`anyio.sleep`, `anyio.move_on_after`, locks, events and task groups all work as they are: the loop's clock jumps to the
next deadline as soon as nobody can go on. Between two jumps the seed decides which of the tasks that can go on does so. There is no I/O and no thread in this world: a task that waits for one is stalled, and so is the test (`StalledError`).

    anyio.run(main, backend_options=virtual_time(seed=7))

As a fixture of anyio's pytest plugin: `anyio_backend` returns `("asyncio", virtual_time(seed=7))`.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeAlias, TypeVarTuple, Unpack

from agent_core.errors import AgentError

Callback: TypeAlias = Callable[..., object]
Ts = TypeVarTuple("Ts")

PATIENCE = 64
"""Steps after which whoever can go on goes before all that became ready later, whatever the seed says: no task starves."""
MAX_STEPS_AT_ONCE = 1_000_000
"""Steps without a moment of time between them; whoever takes more is in a circle."""
_WAITING = "every task waits for ever; is one waiting for a thread or for I/O?"
STICKINESS = (1, 1, 4, 32)
"""For how many steps in a row a task keeps its place among the others; one is drawn for each seed."""


class StalledError(AgentError):
    """Time will not go on: every task waits for something that will not come, or they keep each other busy."""

    def __init__(self, now: float, why: str) -> None:
        super().__init__(f"at {now:.3f} s of virtual time {why}")
        self.now = now


class VirtualTask(asyncio.Task[Any]):
    """A task with a number. Its hash is that number, so that sets of tasks have the same order in every process."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, **settings: Any) -> None:
        self.number: int = number
        self.steps: int = 0
        super().__init__(coro, **settings)

    def __hash__(self) -> int:
        return self.number


class VirtualEventLoop(asyncio.BaseEventLoop):
    """An asyncio loop over virtual time. It uses one private method of asyncio's: `_run_once` is what there is to replace."""

    def __init__(self, seed: int = 0, max_steps_at_once: int = MAX_STEPS_AT_ONCE) -> None:
        """Begin at time 0; `seed` decides in which order ready tasks go on."""
        super().__init__()
        self._max_steps = max_steps_at_once
        self._seed = seed
        self._now = 0.0
        self._ready_tasks: list[tuple[int, int, int, asyncio.Handle]] = []
        self._callbacks: deque[asyncio.Handle] = deque()
        self._next_callbacks: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Callback]] = []
        self._count = 0
        self._tasks = 0
        self._sticky = STICKINESS[seed % len(STICKINESS)]
        self._steps_before = 0
        self.steps: int = 0
        """How many callbacks were run."""
        self.set_task_factory(self._new_task)

    def _new_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        /,
        **settings: Any,
    ) -> VirtualTask:
        self._tasks += 1
        settings.pop("eager_start", None)
        assert asyncio.iscoroutine(coro)  # noqa: S101  # narrows: nobody makes tasks of generators any more
        return VirtualTask(coro, number=self._tasks, loop=loop, **settings)

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` at the current time, in an order that the seed decides."""
        handle = asyncio.Handle(callback, args, self, context)
        self._make_ready(handle, callback)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run `callback` at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer, callback))
        return timer

    def _make_ready(self, handle: asyncio.Handle, callback: Callback) -> None:
        """What is no step of a task keeps its order, and goes before every step that is made ready after it: anyio counts
        on that. The place of a step depends on its task and on how far that is, not on when it was made ready: anyio
        walks sets of scopes, whose order differs from process to process.
        """
        owner = getattr(callback, "__self__", None)
        if not isinstance(owner, VirtualTask):
            self._next_callbacks.append(handle)
            return
        self._count += 1
        place = hash((self._seed, owner.number, owner.steps // self._sticky))
        owner.steps += 1
        heapq.heappush(self._ready_tasks, (self.steps // PATIENCE, place, self._count, handle))

    def _run_once(self) -> None:
        """One callback, or where there is none one step of a task; where there is none either, time moves on."""
        if self.steps - self._steps_before > self._max_steps:
            self._steps_before = self.steps  # what is left is cancelled, which takes steps too
            raise StalledError(
                self._now, f"more than {self._max_steps} steps were taken; is a task going in circles?"
            )
        self._ring()
        if not (self._callbacks or self._ready_tasks or self._next_callbacks):
            if self._timers:
                self._now = max(self._now, self._timers[0][0])
                self._steps_before = self.steps
                self._ring()
            elif not getattr(self, "_stopping", False):
                raise StalledError(self._now, _WAITING)
        if self._callbacks:
            self._run(self._callbacks.popleft())
            return
        if self._ready_tasks:
            self._run(heapq.heappop(self._ready_tasks)[-1])
        self._callbacks, self._next_callbacks = self._next_callbacks, self._callbacks

    def _run(self, handle: asyncio.Handle) -> None:
        self.steps += 1
        if not handle.cancelled():
            handle._run()  # noqa: SLF001  # as every loop does; there is no public name for it

    def _ring(self) -> None:
        """Take the timers off that are cancelled, and those whose time has come."""
        timers = self._timers
        while timers and (timers[0][0] <= self._now or timers[0][2].cancelled()):
            _, _, timer, callback = heapq.heappop(timers)
            if not timer.cancelled():
                self._make_ready(timer, callback)

    def close(self) -> None:
        """Forget what was planned."""
        self._ready_tasks.clear()
        self._callbacks.clear()
        self._next_callbacks.clear()
        self._timers.clear()
        super().close()


def virtual_time(seed: int = 0, *, max_steps_at_once: int = MAX_STEPS_AT_ONCE) -> dict[str, Any]:
    """The `backend_options` of `anyio.run` for a run in virtual time whose interleaving `seed` decides.

    Whoever takes more than `max_steps_at_once` steps without a moment of time between them is stopped as one who goes in
    circles: `StalledError`.
    """
    return {"loop_factory": lambda: VirtualEventLoop(seed, max_steps_at_once)}


class LoopClock:
    """A `Clock` that goes with the event loop's: under `virtual_time` as fast as the tasks let it."""

    def __init__(self, began_at: float = 1_700_000_000.0) -> None:
        """`began_at`: what the clock shows at the loop's time 0, in seconds since the epoch."""
        self._began_at = began_at

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._began_at + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait, in the loop's time."""
        await asyncio.sleep(seconds)
