"""`/health`: the one route that will never ask for a key."""

from typing import Literal

import msgspec
from litestar import get

from agent_api import __version__
from agent_api.access.scopes import NO_KEY


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the process answers, and which version it is."""

    status: Literal["ok"] = "ok"
    version: str = __version__


@get("/health", opt={"scope": NO_KEY}, summary="Is the process alive?", tags=("operations",))
async def health() -> Health:
    """Answers as long as the event loop turns."""
    return Health()
