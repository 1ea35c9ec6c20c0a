"""Level 3 for snippets: Monty, an interpreter of a part of Python with no way out but the functions that it is given.

For what a model wrote. It runs in a process of Monty's own, which is replaced when it crashes. A snippet that may call
functions runs in a session that is awaited, any other in a thread (`monty_threads`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

import msgspec

from agent_skills.errors import IsolationError, SkillFailedError, SkillTimeoutError
from agent_skills.isolation.sandbox import MEBIBYTE

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, CollectString, MontySession, ResourceLimits

    from agent_skills.isolation.monty_threads import SnippetThreads

Function = Callable[..., Awaitable[object]]
"""What a snippet may call, with `await`."""
_GRACE_S = 0.5
_SETTLING_S = 0.02


class SnippetLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one snippet may use."""

    run_s: float = 5.0
    """Seconds that it may compute, without those that it waits for functions."""
    timeout_s: float = 60.0
    """Seconds altogether."""
    memory_bytes: int = 64 * MEBIBYTE
    output_bytes: int = 100_000
    calls: int = 100
    """Calls of functions."""
    depth: int = 200
    """Calls within calls."""


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a snippet."""

    value: object
    """The value of its last expression."""
    output: str
    """What it printed."""


class MontyInterpreter:
    """Runs snippets, each in a session of its own. Belongs to one event loop."""

    def __init__(self, limits: SnippetLimits | None = None, *, size: int = 4) -> None:
        """`size` is how many snippets of a kind (with functions, without) may run at once; further ones wait."""
        self._limits = limits or SnippetLimits()
        self._size = size
        self._awaited: AsyncMonty | None = None
        self._threads: SnippetThreads | None = None
        self._lock = asyncio.Lock()

    async def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, object] | None = None,
        functions: Mapping[str, Function] | None = None,
    ) -> Snippet:
        """Run one snippet; `inputs` are its variables, `functions` what it may call.

        Raises:
            SkillFailedError: the snippet is wrong, failed, or used more than it may; the text is for the model.
            SkillTimeoutError: it took longer than `timeout_s`.
            IsolationError: Monty is not installed.
        """
        _assert_installed()
        from pydantic_monty import CollectString, MontyError  # noqa: PLC0415 - an extra; 50 ms at its first import

        printed = CollectString(self._limits.output_bytes)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                value = await self._value(code, dict(inputs or {}), dict(functions or {}), printed)
        except MontyError as error:
            raise SkillFailedError(_words(error, printed.output), code="snippet_failed") from error
        except TimeoutError:
            raise SkillTimeoutError("the snippet", self._limits.timeout_s) from None
        return Snippet(value=value, output=printed.output)

    async def _value(
        self,
        code: str,
        inputs: dict[str, object],
        functions: dict[str, Function],
        printed: "CollectString",
    ) -> object:
        if functions:
            pool = await self._open_awaited()
            async with pool.checkout(limits=self._resources()) as awaited:
                value = await awaited.feed_run(
                    code, inputs=inputs, external_lookup=functions, print_callback=printed
                )
                return cast("object", value)

        def feed(session: "MontySession") -> object:
            return cast("object", session.feed_run(code, inputs=inputs, print_callback=printed))

        threads = self._threads or await self._open_threads()
        return await threads.run(feed)

    def _resources(self) -> "ResourceLimits":
        return {
            "max_feed_duration_secs": self._limits.run_s,
            "max_memory": self._limits.memory_bytes,
            "max_recursion_depth": self._limits.depth,
            "max_suspensions": self._limits.calls,
            "max_total_sleep_secs": self._limits.run_s,
        }

    async def _open_awaited(self) -> "AsyncMonty":
        if self._awaited is None:
            from pydantic_monty import AsyncMonty  # noqa: PLC0415 - see above

            async with self._lock:
                if self._awaited is None:
                    pool = AsyncMonty(max_processes=self._size, feed_duration_limit_grace=_GRACE_S)
                    await pool.__aenter__()
                    self._awaited = pool
        return self._awaited

    async def _open_threads(self) -> "SnippetThreads":
        if self._threads is None:
            from pydantic_monty import Monty  # noqa: PLC0415 - see above

            from agent_skills.isolation.monty_threads import SnippetThreads  # noqa: PLC0415 - as Monty itself

            async with self._lock:
                if self._threads is None:
                    pool = Monty(max_processes=self._size, feed_duration_limit_grace=_GRACE_S)
                    await asyncio.to_thread(pool.__enter__)
                    self._threads = SnippetThreads(pool, self._resources(), self._size)
        return self._threads

    async def aclose(self) -> None:
        """End the processes; may be called twice."""
        awaited, self._awaited = self._awaited, None
        threads, self._threads = self._threads, None
        if awaited is not None:
            await awaited.__aexit__(None, None, None)
            # Its threads (pydantic-monty 1.4) let go of Python's objects behind the answer. One that comes to that as the
            # interpreter ends aborts the process, one time in ten where a program ends right behind this.
            await asyncio.sleep(_SETTLING_S)
        if threads is not None:
            await threads.aclose()


@cache
def _assert_installed() -> None:
    if find_spec("pydantic_monty") is None:
        raise IsolationError("Monty is not installed: install agent-skills[monty], or pydantic-monty")


def _words(error: Exception, printed: str) -> str:
    """Why it failed, with its own lines, and what it printed before."""
    display = getattr(error, "display", None)
    text = str(display()) if callable(display) else str(error)
    return f"{text.strip()}\nIt had printed:\n{printed}" if printed else text.strip()
