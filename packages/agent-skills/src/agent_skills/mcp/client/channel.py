"""What carries messages to a server and back: the port between a connection and a transport."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from anyio.abc import TaskGroup

from agent_skills.mcp.errors import McpUnavailableError
from agent_skills.mcp.wire import Message

Inbox: TypeAlias = Callable[[Message], Awaitable[None]]
Lost: TypeAlias = Callable[[str], None]
"""Tells a connection that nothing more will come, and why."""


class SessionLostError(McpUnavailableError):
    """The server does not know the session any more: begin another."""


class Channel(Protocol):
    """One way to a server. All its methods are called by the task that owns the connection, or tasks of its group."""

    discovery_s: float
    """Seconds after which a server that does not answer `server/discover` is one that does not know it."""

    async def open(self, tasks: TaskGroup, inbox: Inbox, lost: Lost) -> None:
        """Get ready; what reads in the background runs in `tasks`.

        Raises:
            McpUnavailableError: there is no server.
        """
        ...

    async def send(self, message: Message, headers: dict[str, str]) -> None:
        """Send a message. Over HTTP this lasts until the reply to it has ended; what comes goes to the inbox.

        `headers` are those that a stateless request has in HTTP.

        Raises:
            McpUnavailableError: it could not be sent, or its reply broke off.
        """
        ...

    def settled(self, revision: str) -> None:
        """A revision was agreed on."""
        ...

    async def aclose(self) -> None:
        """Free everything."""
        ...
