"""How far a call is: what an async generator yields before its result."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a call that takes long. Shown to people, and neither journaled nor seen by the model."""

    text: str = ""
    done: float = 0.0
    total: float = 0.0
    """How much there is to do, in the unit of `done`; 0: nobody knows."""


OnProgress: TypeAlias = Callable[[str, str, Progress], None]
"""Told of a step: the run, the call, the step. Called in the runner's task, so it must return at once."""
