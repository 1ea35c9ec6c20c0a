"""What a skill needs of its host: how much of a wall around it, which secrets, which hosts, how many calls at once.

Declared by the author, granted by the operator (`policy`), enforced by the runner.
"""

from enum import IntEnum

import msgspec


class Level(IntEnum):
    """Where a skill runs. A higher number is more of a wall; `isolation.levels` says which a machine has."""

    IN_PROCESS = 0
    """In the host, under a deadline: for what is trusted as the host itself is."""
    WORKER = 1
    """In a process of its own that is killed at its deadline. A crash stays there; it is no wall against malice."""
    SANDBOX = 2
    """The same process with no rights: no files, no network, no other process, bounded memory and time."""
    INTERPRETED = 3
    """Not as machine code at all: Monty for snippets of Python, WebAssembly for components."""


class Needs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one skill needs."""

    level: Level = Level.IN_PROCESS
    """The least wall that its author wants around it. A host may put more."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets that it is given, through a parameter annotated `Secrets`."""
    hosts: tuple[str, ...] = ()
    """Hosts that it talks to, such as `api.example.org` or `*.example.org`: held against what the operator grants before each
    call. Nothing stops a skill outside a sandbox from reaching others; a sandbox reaches those that are granted alone."""
    concurrency: int = 0
    """Calls of it that may run at once; further ones wait, and their deadline runs. 0: as many as the host allows."""


NOTHING = Needs()
