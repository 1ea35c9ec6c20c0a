"""Work that goes on as long as the daemon does: a fault in it is logged, and it goes on."""

import logging
from collections.abc import Awaitable, Callable

import anyio

logger = logging.getLogger("agentd")

AGAIN_S = 5.0


async def kept_going(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` until cancelled, and again whenever it ends by a fault: one tenant's must not end the others'."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s ended by a fault and is begun again", name)
        await anyio.sleep(AGAIN_S)
