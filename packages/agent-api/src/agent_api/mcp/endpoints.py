"""One MCP server a key: its sessions and what it was given to keep are of no use to another key."""

from collections.abc import Awaitable, Callable

import anyio

from agent_api import __version__
from agent_api.access.asgi import Message, Receive, Scope, Send
from agent_api.access.gate import Principal
from agent_api.daemon import Daemon
from agent_api.mcp.tools import TenantTools
from agent_api.supervisor import Supervisor
from agent_skills.mcp.server.asgi import McpHttp
from agent_skills.mcp.server.server import McpServer, ServerSettings

MAX_MESSAGE_BYTES = 2 * 1024 * 1024


class McpEndpoints:
    """The servers of a daemon, made when they are first asked."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._servers: dict[str, McpHttp] = {}

    def answer(
        self, principal: Principal, supervisor: Supervisor
    ) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """The application that answers this request. A daemon that goes ends what is open, as a client would."""
        server = self._servers.get(principal.key.key_id)
        if server is None:
            server = self._servers[principal.key.key_id] = self._made(principal, supervisor)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await server(scope, _until_shut_down(receive, supervisor.broadcast.wait_shut_down), send)

        return application

    def _made(self, principal: Principal, supervisor: Supervisor) -> McpHttp:
        tools = TenantTools(supervisor, principal.key, self._daemon.audit)
        server = McpServer(
            ServerSettings(name="agentd", version=__version__),
            tools,
            capabilities={"tools": {}},
            key=self._daemon.keys.secret_for(f"mcp {principal.key.key_id}"),
        )
        # Any host: who has a key is no page that reached this server under a name of its own.
        return McpHttp(server, hosts=frozenset(), max_body_bytes=MAX_MESSAGE_BYTES)


def _until_shut_down(receive: Receive, wait_shut_down: Callable[[], Awaitable[None]]) -> Receive:
    async def received() -> Message:
        message: Message = {"type": "http.disconnect"}
        async with anyio.create_task_group() as tasks:

            async def hear() -> None:
                nonlocal message
                message = await receive()
                tasks.cancel_scope.cancel()

            tasks.start_soon(hear)
            await wait_shut_down()
            tasks.cancel_scope.cancel()
        return message

    return received
