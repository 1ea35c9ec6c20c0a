"""One request on its way to a server, and what comes of it. Pure but for the event that its caller waits for."""

from collections.abc import Callable
from typing import TypeAlias

import anyio

from agent_skills.mcp.errors import McpError
from agent_skills.mcp.wire import Message

OnProgress: TypeAlias = Callable[[float, float | None, str], None]
"""Is told how far a call is: done, the total if it is known, words."""


class Errand:
    """One request on its way, and what comes of it."""

    def __init__(self, message: Message, headers: dict[str, str], on_progress: OnProgress | None) -> None:
        self.message = message
        self.headers = headers
        self.on_progress = on_progress
        self.scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._outcome: Message | McpError | None = None

    def settle(self, outcome: Message | McpError) -> None:
        """The end of it; only the first counts."""
        if self._outcome is None:
            self._outcome = outcome
            self._done.set()

    async def outcome(self) -> Message:
        """Wait for the response.

        Raises:
            McpError: there will be none.
        """
        await self._done.wait()
        if isinstance(self._outcome, Message):
            return self._outcome
        raise self._outcome or McpError("no outcome")
