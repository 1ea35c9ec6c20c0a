"""Level 0: the skill runs in this process, under a deadline. For skills that are trusted as the host itself is.

A deadline stops an async skill. A thread cannot be stopped: the call ends in time, the function goes on behind it
and what it returns is dropped; how many may pile up is bounded.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar, cast

import anyio

from agent_skills.errors import SkillBusyError, SkillFailedError, SkillTimeoutError
from agent_skills.isolation.threads import ThreadPool
from agent_skills.progress import Progress
from agent_skills.skill import AnySkill, Kind

try:
    from sniffio import current_async_library_cvar
except ImportError:  # then anyio does not ask it either
    _loop_library: contextvars.ContextVar[str | None] | None = None
else:
    _loop_library = current_async_library_cvar

T = TypeVar("T")
OnStep = Callable[[Progress], None]

MAX_THREADS = 32
"""Worker threads of all skills together; further calls wait, and their deadline runs."""
MAX_THREADS_PER_SKILL = 16
"""Calls of one sync skill that may be running, abandoned ones included; further calls are refused."""


class InProcess:
    """Calls skills in this process."""

    def __init__(self) -> None:
        self._threads: ThreadPool | None = None
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    async def call(
        self, skill: AnySkill, arguments: dict[str, object], on_step: OnStep | None = None
    ) -> object:
        """Call a skill with arguments that are valid; returns what it returned. `on_step` is told how far it is.

        Raises:
            SkillTimeoutError: it took longer than `skill.spec.timeout_s`.
            SkillBusyError: `MAX_THREADS_PER_SKILL` calls of this sync skill are still running.
            SkillFailedError: the skill ended as cancelled, and nobody cancelled the call.
            Exception: whatever the skill raised.
        """
        with anyio.move_on_after(skill.spec.timeout_s):
            if skill.kind is not Kind.SYNC:
                made = skill.function(**arguments)
                try:
                    if skill.kind is Kind.STEPS:
                        return await last_of(cast("AsyncGenerator[object]", made), on_step)
                    return await cast("Awaitable[object]", made)
                except asyncio.CancelledError:
                    if _is_cancelled():
                        raise
                    # It awaited something that was cancelled elsewhere: its failure, not the end of this run.
                    raise SkillFailedError(
                        f"{skill.spec.name} waited for something that was cancelled"
                    ) from None
            return await self.in_thread(skill.spec.name, functools.partial(skill.function, **arguments))
        raise SkillTimeoutError(skill.spec.name, skill.spec.timeout_s)

    async def in_thread(self, name: str, function: Callable[[], T]) -> T:
        """Run a blocking function of the skill `name` in a worker thread; a cancelled call leaves it behind.

        Raises:
            SkillBusyError: too many are running.
        """
        if self._running[name] >= MAX_THREADS_PER_SKILL:
            raise SkillBusyError(name, self._running[name])
        if self._threads is None or not self._threads.is_of_this_loop():
            self._threads = ThreadPool("skill", MAX_THREADS)
        context = contextvars.copy_context()
        if _loop_library is not None:  # else a function could start no loop of its own by anyio
            context.run(_loop_library.set, None)
        return await self._threads.run(lambda: context.run(self._counted, name, function))

    def _counted(self, name: str, function: Callable[[], T]) -> T:
        with self._lock:
            self._running[name] += 1
        try:
            return function()
        finally:
            with self._lock:
                self._running[name] -= 1


async def last_of(steps: AsyncGenerator[object], on_step: OnStep | None) -> object:
    """The result of an async generator: the last that it yields and that is no `Progress`; None where there is none."""
    result: object = None
    async with contextlib.aclosing(steps):
        async for step in steps:
            if not isinstance(step, Progress):
                result = step
            elif on_step is not None:
                on_step(step)
    return result


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task: scopes, deadlines and `Task.cancel` all count here."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
