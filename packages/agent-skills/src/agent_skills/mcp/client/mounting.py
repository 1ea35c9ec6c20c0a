"""All MCP servers of an operator, each in a task of its own."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import anyio

from agent_skills.http import HttpClient
from agent_skills.isolation.levels import Levels
from agent_skills.mcp.client.channel import Channel
from agent_skills.mcp.client.http import Authentication, HttpChannel
from agent_skills.mcp.client.mount import McpMount
from agent_skills.mcp.client.pins import Pins
from agent_skills.mcp.client.questions import AskPerson
from agent_skills.mcp.client.sandboxing import refusal, start_of
from agent_skills.mcp.client.settings import McpServerSettings
from agent_skills.mcp.client.stdio import StdioChannel
from agent_skills.registry import SkillRegistry


@contextlib.asynccontextmanager
async def mounted(
    servers: Sequence[McpServerSettings],
    registry: SkillRegistry,
    pins: Pins,
    *,
    levels: Levels | None = None,
    ask_person: AskPerson | None = None,
    authentications: Mapping[str, Authentication] | None = None,
) -> AsyncGenerator[Mapping[str, McpMount]]:
    """Mount servers for as long as the block lasts; entering waits until each was tried once.

    A server that cannot be reached is tried again and again; it never ends the block.

    Args:
        servers: names must differ.
        registry: gets one plugin `mcp:NAME` a server.
        pins: the approved definitions.
        levels: what this machine has, from `isolation.levels.probe`; without a sandbox no command is started whose
            settings do not say `sandbox="none"`: its mount says why.
        ask_person: shows a person the forms that servers ask for; None: servers are told that nobody can be asked.
        authentications: by the name of the server, such as `agent_skills.mcp.client.oauth.OAuth`.
    """
    client = HttpClient(connect_timeout_s=max((one.connect_timeout_s for one in servers), default=10.0))
    mounts = {
        one.name: McpMount(
            one,
            registry,
            pins,
            _channels(one, client, levels, (authentications or {}).get(one.name)),
            ask_person=ask_person,
        )
        for one in servers
    }
    try:
        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as starts:
                for mount in mounts.values():
                    if reason := refusal(mount.settings, levels):
                        mount.refuse(reason)
                    else:
                        starts.start_soon(tasks.start, mount.run)
            yield mounts
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await client.aclose()


def _channels(
    settings: McpServerSettings,
    client: HttpClient,
    levels: Levels | None,
    authentication: Authentication | None,
) -> Callable[[], Channel]:
    def channel() -> Channel:
        if settings.command:
            return StdioChannel(settings.name, start_of(settings, levels))
        return HttpChannel(
            settings.name, settings.url, client, headers=settings.headers, authentication=authentication
        )

    return channel
