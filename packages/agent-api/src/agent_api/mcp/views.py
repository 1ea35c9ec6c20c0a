"""MCP servers and their tools as people see them, by the API and the command line."""

from collections.abc import Mapping

import msgspec

from agent_api.mcp.servers import McpServers
from agent_core.json_types import JsonObject
from agent_skills.mcp.client.mount import McpMount, mounted_name
from agent_skills.mcp.client.pins import Standing
from agent_skills.mcp.client.settings import McpServerSettings

TRYING = "it is tried for the first time"


class ToolView(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of a server."""

    name: str
    skill: str
    """What the model calls it; empty: it is not mounted."""
    standing: Standing
    reason: str
    digest: str
    """The hash of the definition: what an approval names."""
    definition: JsonObject
    before: JsonObject | None
    """The definition that was approved, where it is another now."""


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """A server."""

    name: str
    where: str
    """The program, or the address; never its arguments, environment or headers."""
    problem: str
    """Why it is not there; empty: it is."""
    tools: tuple[ToolView, ...]
    missing: tuple[str, ...]
    """Tools that were approved and that it does not offer any more."""


def server_views(servers: McpServers) -> tuple[ServerView, ...]:
    """Every server that is set."""
    return tuple(_view(one, servers.mounts) for one in servers.settings)


def _view(settings: McpServerSettings, mounts: Mapping[str, McpMount]) -> ServerView:
    mount = mounts.get(settings.name)
    tools = (
        ()
        if mount is None
        else tuple(
            ToolView(
                name=one.name,
                skill=_skill(settings, one.name) if one.standing is Standing.APPROVED else "",
                standing=one.standing,
                reason=one.reason,
                digest=one.digest,
                definition=one.tool,
                before=one.before,
            )
            for one in mount.tools
        )
    )
    return ServerView(
        name=settings.name,
        where=settings.url or settings.command[0],
        problem=TRYING if mount is None else mount.problem,
        tools=tools,
        missing=() if mount is None else mount.missing,
    )


def _skill(settings: McpServerSettings, tool: str) -> str:
    return "" if tool in settings.deny else mounted_name(settings.name, tool)
