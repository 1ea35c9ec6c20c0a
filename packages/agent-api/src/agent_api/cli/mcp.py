"""`agent mcp`: logins to the MCP servers of the settings."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent_api.cli import options
from agent_api.cli.records import tell_done

if TYPE_CHECKING:
    from agent_skills.mcp.client.settings import McpServerSettings
    from agent_skills.mcp.client.token_file import TokenFile

app = typer.Typer(help="Logins to MCP servers that want OAuth.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server, as the settings call it.")]
Tenant = Annotated[
    str | None, typer.Option(help="Whose login it is.", show_default="that of the command line")
]


@app.command()
def login(
    name: Name,
    tenant: Tenant = None,
    data_dir: options.DataDir = None,
    browser: Annotated[
        bool, typer.Option(help="Open the address; else it is only printed.", show_default="on a desktop")
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Log in to an MCP server with a browser of this machine, once. The daemon uses the login, and renews it.

    On a machine without a browser, forward the port of the printed address: ssh -L PORT:127.0.0.1:PORT HOST
    """
    import anyio

    server, file = _chosen(name, tenant, data_dir)

    async def log_in() -> None:
        from agent_skills.mcp.client import login

        await login.log_in(server, file, lambda url: _show(url, browser=browser, as_json=as_json))

    anyio.run(log_in)
    sys.stderr.write(f"logged in to {name}\n")
    tell_done({"name": name, "logged_in": True}, as_json=as_json)


@app.command()
def logout(
    name: Name, tenant: Tenant = None, data_dir: options.DataDir = None, as_json: options.AsJson = False
) -> None:
    """Forget the login to an MCP server. Whoever runs it may know of it still: end it there, too."""
    _, file = _chosen(name, tenant, data_dir)
    was_there = file.remove()
    sys.stderr.write(f"forgot the login to {name}\n" if was_there else f"there is no login to {name}\n")
    tell_done({"name": name, "logged_out": was_there}, as_json=as_json)


def _chosen(name: str, tenant: str | None, data_dir: str | None) -> "tuple[McpServerSettings, TokenFile]":
    """The server that is meant, and where the tenant's login to it is kept."""
    from agent_api.access.keys import DEFAULT_TENANT
    from agent_api.errors import NotFoundError, SettingsError
    from agent_api.mcp.servers import servers_of, token_file
    from agent_api.settings import load
    from agent_api.tenants import data_path_of

    settings, whose = load({"data_dir": data_dir}), tenant or DEFAULT_TENANT
    data_path = data_path_of(settings, whose)
    servers = {one.name: one for one in servers_of(settings.mcp, whose)}
    if name not in servers:
        known = ", ".join(servers) or "none"
        raise NotFoundError(f"tenant {whose!r} has no MCP server {name!r}; it has: {known}")
    server = servers[name]
    if server.oauth is None:
        raise SettingsError(
            f"MCP server {name!r} has no OAuth in the settings: add [mcp.servers.{name}.oauth]"
        )
    if server.oauth.grant != "login":
        raise SettingsError(f"MCP server {name!r} is used by client credentials: nobody logs in to it")
    data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return server, token_file(server, data_path)


def _show(url: str, *, browser: bool, as_json: bool) -> None:
    import json
    import os
    import webbrowser

    sys.stderr.write("open this address in a browser of this machine, and log in:\n")
    print(json.dumps({"url": url}) if as_json else url, flush=True)
    if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(url)
