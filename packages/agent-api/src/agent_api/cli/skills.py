"""`agent skills`: what a model can call, and what MCP servers offer for that."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import typer

from agent_api.cli import options

if TYPE_CHECKING:
    from agent_api.mcp.servers import McpServers
    from agent_api.skills import Skills

app = typer.Typer(help="Skills: what the model can call.", no_args_is_help=True)


@asynccontextmanager
async def _opened(workspace: str | None) -> "AsyncGenerator[tuple[Skills, McpServers]]":
    """The skills, with the MCP servers of the settings mounted."""
    from agent_api.composition import connect_model, open_skills, tenant_servers
    from agent_api.settings import load
    from agent_skills import probe

    settings, levels = load({"workspace": workspace}), await probe()
    skills = open_skills(settings, levels, tool_mode=connect_model(settings).profile.tool_mode)
    async with aclosing(skills), tenant_servers(settings, skills.registry, levels) as servers:
        yield skills, servers


@app.command("list")
def list_skills(workspace: options.Workspace = None, as_json: options.AsJson = False) -> None:
    """The skills, and the plugins that brought them; a broken plugin or an absent server is named with the reason."""
    import anyio

    anyio.run(_list, workspace, as_json)


async def _list(workspace: str | None, as_json: bool) -> None:
    async with _opened(workspace) as (skills, servers):
        for plugin, spec in skills.listed():
            if as_json:
                row = {
                    "name": spec.name,
                    "plugin": plugin,
                    "description": spec.description,
                    "parameters": spec.parameters,
                    "labels": [label.value for label in spec.labels],
                    "idempotent": spec.idempotent,
                }
                sys.stdout.write(json.dumps(row) + "\n")
            else:
                summary = spec.description.split("\n")[0]
                sys.stdout.write(f"{spec.name:<16} {plugin:<12} {summary}\n")
        for status in skills.absent:
            sys.stderr.write(f"plugin {status.entry.name} is left out: {status.reason}\n")
        for name in skills.registry.left_out:
            sys.stderr.write(f"skill {name} is left out by the setting skills\n")
        _say_absent(servers)
        sys.stderr.write(f"{skills.how_offered()}\n")


@app.command()
def servers(as_json: options.AsJson = False) -> None:
    """The MCP servers of the settings: whether each is there, and how each of its tools stands."""
    import anyio

    anyio.run(_servers, as_json)


async def _servers(as_json: bool) -> None:
    import msgspec

    from agent_api.mcp.views import server_views

    async with _opened(None) as (_, found):
        for view in server_views(found):
            if as_json:
                sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
                continue
            sys.stdout.write(f"{view.name:<16} {view.where}\n")
            for tool in view.tools:
                sys.stdout.write(f"  {tool.standing.value:<12} {tool.name:<24} {tool.reason or tool.skill}\n")
        _say_absent(found)


@app.command()
def approve(server: str, tools: list[str] = typer.Argument(None)) -> None:  # noqa: B008  # Typer's way
    """Approve tools of an MCP server that wait, exactly as they are now: all that wait, or those that are named.

    Read them first: `agent skills servers --json` shows each definition, beside the one that was approved.
    """
    import anyio

    anyio.run(_approve, server, tools or [])


async def _approve(server: str, tools: list[str]) -> None:
    from agent_api.errors import NotFoundError
    from agent_core.errors import ProtocolError
    from agent_skills.mcp.client.pins import Standing

    async with _opened(None) as (_, found):
        mount = found.mounts.get(server)
        if mount is None or mount.problem:
            known = ", ".join(one.name for one in found.settings) or "none"
            why = (
                mount.problem if mount else found.problem or f"there is none of that name; there are: {known}"
            )
            raise NotFoundError(f"MCP server {server!r}: {why}")
        waiting = [one.name for one in mount.tools if one.standing is Standing.QUARANTINED]
        offered = {one.name for one in mount.tools}
        for name in tools:
            if name not in offered:
                raise NotFoundError(f"MCP server {server!r} offers no tool {name!r}")
        try:
            mount.approve(tools or waiting)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        for name in tools or waiting:
            sys.stdout.write(f"{name}\n")


def _say_absent(servers: "McpServers") -> None:
    from agent_api.mcp.views import server_views

    if servers.problem:
        sys.stderr.write(f"no MCP server is mounted: {servers.problem}\n")
        return
    for view in server_views(servers):
        if view.problem:
            sys.stderr.write(f"MCP server {view.name} is not there: {view.problem}\n")
        waiting = sum(tool.standing.value == "quarantined" for tool in view.tools)
        if waiting:
            sys.stderr.write(f"MCP server {view.name}: {waiting} tools wait: agent skills servers\n")
