"""The deadline of a tool. A scope or a timer for each is a tenth of what a run costs, and most tools end at once: what
runs alone is begun without one, and only if it waits for something does the drive's own scope get a deadline.
"""

from collections.abc import Coroutine, Generator
from math import inf
from types import coroutine
from typing import Any, TypeAlias, TypeVar

import anyio

T = TypeVar("T")

Scope: TypeAlias = "anyio.CancelScope"
"""Quoted, here and in `drive`: anyio's scopes and locks are then imported by the first run and not with the runner."""


class LateError(Exception):
    """The time was up, and the work was stopped."""


async def within(timeout_s: float, work: Coroutine[Any, Any, T], scope: "Scope | None") -> T:
    """What `work` comes to.

    Args:
        timeout_s: How long it may take, in seconds from when it first waits for something.
        work: A coroutine that has not begun.
        scope: One that this task is in, without a deadline; it is cancelled where the time is up. None: only the work is.

    Raises:
        LateError: the time was up, and there was no `scope` to cancel.
    """
    if scope is None:
        with anyio.move_on_after(timeout_s):
            return await work
        raise LateError
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    scope.deadline = anyio.current_time() + timeout_s
    try:
        return await _rest_of(work, waits_for)
    finally:
        if not scope.cancel_called:
            scope.deadline = inf


@coroutine
def _rest_of(work: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    """What is left of a coroutine that was begun by hand: `yield from`, but for its first step."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # for the work to handle, as with `yield from`
                waits_for = work.throw(error)
            else:
                waits_for = work.send(sent)
    except StopIteration as end:
        result: T = end.value
        return result
