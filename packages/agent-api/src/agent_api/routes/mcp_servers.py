"""`/api/v1/mcp/servers`: the MCP servers whose tools are skills here, and which of their tools wait to be approved."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from agent_api.access.scopes import Scope
from agent_api.errors import NotFoundError
from agent_api.mcp.views import ServerView, server_views
from agent_api.supervisor import Supervisor
from agent_core.errors import ProtocolError


class ServerList(msgspec.Struct, frozen=True, kw_only=True):
    """The servers of a tenant."""

    items: tuple[ServerView, ...]
    problem: str
    """Why none is mounted at all; empty: nothing is in the way."""


class ToolName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool exactly as it was looked at."""

    name: str
    digest: str
    """As the list showed it: another definition is not approved."""


class Approve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/mcp/servers/{name}/approve`."""

    tools: Annotated[tuple[ToolName, ...], msgspec.Meta(min_length=1, max_length=1_000)]


class McpServersController(Controller):
    """The servers of one tenant."""

    path = "/api/v1/mcp/servers"
    tags = ("skills",)

    @get(opt={"scope": Scope.SKILLS_READ}, summary="List MCP servers")
    async def all(self, supervisor: NamedDependency[Supervisor]) -> ServerList:
        """Each server, whether it is there, and how each of its tools stands."""
        servers = supervisor.agent.servers
        return ServerList(items=server_views(servers), problem=servers.problem)

    @post(
        "/{name:str}/approve",
        opt={"scope": Scope.SKILLS_ADMIN},
        status_code=HTTP_200_OK,
        summary="Approve tools of an MCP server",
    )
    async def approve(
        self, name: FromPath[str], data: JSONBody[Approve], supervisor: NamedDependency[Supervisor]
    ) -> ServerView:
        """Tools that wait become skills, with exactly the definition that was looked at."""
        servers = supervisor.agent.servers
        mount = servers.mounts.get(name)
        if mount is None:
            raise NotFoundError(f"there is no MCP server {name!r}")
        offered = {(one.name, one.digest) for one in mount.tools}
        for tool in data.tools:
            if (tool.name, tool.digest) not in offered:
                raise NotFoundError(f"{name!r} offers no tool {tool.name!r} of that digest: look again")
        try:
            mount.approve([tool.name for tool in data.tools])
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        return next(view for view in server_views(servers) if view.name == name)
