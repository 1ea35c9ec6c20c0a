"""Time that moves only when somebody sleeps, and ids that count: runs that are the same every time."""

import anyio


class VirtualClock:
    """A clock that a test moves. `sleep` moves it too, and lets other tasks run."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Move the clock by `seconds`, taking no real time."""
        self._now += seconds
        await anyio.lowlevel.checkpoint()


class SequentialIds:
    """`run_0001`, `run_0002`, `writer_0003`, ..."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, prefix: str) -> str:
        """The next id."""
        self._count += 1
        return f"{prefix}_{self._count:04}"
