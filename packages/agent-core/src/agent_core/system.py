"""The real clock and the real ids: the only file besides the runner that touches the world."""

import os
import time

import anyio


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch, to the millisecond: more digits would only make journals longer."""
        return time.time_ns() // 1_000_000 / 1_000

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)


class SystemIds:
    """Ids of 44 bits of milliseconds and 60 bits of randomness, in hexadecimal: names, not secrets.

    Of the system's randomness: an application that seeds its own for repeatable tests would draw the same ids twice.
    """

    def new(self, prefix: str) -> str:
        """A new id, such as `run_19a9f0c3b2d4f1e09c7a65b3c1`."""
        return f"{prefix}_{time.time_ns() // 1_000_000 << 60 | int.from_bytes(os.urandom(8)) >> 4:x}"
