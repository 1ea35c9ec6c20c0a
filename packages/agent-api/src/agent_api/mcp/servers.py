"""MCP servers of the settings, mounted as skills: which tenant has which, where their approved tools are written down."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import msgspec

from agent_api.access.keys import DEFAULT_TENANT
from agent_api.errors import WrongSettingError
from agent_api.settings import McpSettings
from agent_api.wrong_settings import wrong_value
from agent_skills import Levels, SkillRegistry
from agent_skills.errors import SkillError
from agent_skills.mcp.client.http import Authentication
from agent_skills.mcp.client.mount import McpMount
from agent_skills.mcp.client.mounting import mounted
from agent_skills.mcp.client.pins import Pins
from agent_skills.mcp.client.settings import McpServerSettings
from agent_skills.mcp.client.token_file import TokenFile
from agent_skills.mcp.errors import PinsUnreadableError
from agent_skills.secrets import SecretSource, of_this_machine

logger = logging.getLogger("agentd")

PINS = "mcp-pins.json"
"""The file of a tenant's approved tools, in its data folder."""
TOKENS = "mcp-tokens"
"""The folder of a tenant's logins to servers, in its data folder."""
FIRST_TRY_S = 10.0
"""How long it is waited for all servers to have been tried; who takes longer is mounted when it is there."""
_SECRET = re.compile(r"\{secret:([^}]*)\}")


class McpServers(msgspec.Struct, kw_only=True):
    """The servers of one tenant."""

    settings: tuple[McpServerSettings, ...] = ()
    mounts: Mapping[str, McpMount] = {}
    """By name; empty while they are tried for the first time."""
    problem: str = ""
    """Why none is mounted at all; empty: nothing is in the way."""


def servers_of(
    settings: McpSettings, tenant: str = DEFAULT_TENANT, *, secret: SecretSource = of_this_machine
) -> tuple[McpServerSettings, ...]:
    """The servers that a tenant has; by default those of the command line's tenant alone.

    Raises:
        SettingsError: what is set of one cannot be, or names a secret that is not there; says which.
    """
    found: list[McpServerSettings] = []
    for name, given in settings.servers.items():
        fields = dict(given)
        tenants: object = fields.pop("tenants", [DEFAULT_TENANT])
        if not isinstance(tenants, list):
            raise WrongSettingError(f"mcp.servers.{name}.tenants", "this is no list of tenants")
        for field in ("headers", "environment", "oauth"):
            if isinstance(fields.get(field), dict):
                fields[field] = _with_secrets(f"mcp.servers.{name}.{field}", fields[field], secret)
        try:
            one = msgspec.convert({**fields, "name": name}, McpServerSettings)
        except msgspec.ValidationError as error:
            raise wrong_value(f"mcp.servers.{name}", given, McpServerSettings, error) from error
        except SkillError as error:
            raise WrongSettingError(f"mcp.servers.{name}", str(error)) from error
        if one.oauth is not None and find_spec("mcp") is None:
            raise WrongSettingError(f"mcp.servers.{name}.oauth", "it needs pip install 'agent-skills[mcp]'")
        if tenant in tenants:
            found.append(one)
    return tuple(found)


def _with_secrets(where: str, values: Mapping[str, Any], secret: SecretSource) -> dict[str, Any]:
    def value_of(match: re.Match[str]) -> str:
        value = secret(match[1])
        if value is None:
            raise WrongSettingError(
                where,
                f"there is no secret {match[1]!r}; give it as the systemd credential "
                f"agent_secret_{match[1]} or as AGENT_SECRET_{match[1].upper()}",
            )
        return value

    return {
        key: _SECRET.sub(value_of, text) if isinstance(text, str) else text for key, text in values.items()
    }


def token_file(server: McpServerSettings, data_path: Path) -> TokenFile:
    """Where the login to a server is kept, in the data folder of the tenant that logged in."""
    return TokenFile(server.name, data_path / TOKENS / f"{server.name}.json", server.url)


def _logins(servers: tuple[McpServerSettings, ...], data_path: Path) -> dict[str, Authentication]:
    wanting = [one for one in servers if one.oauth is not None]
    if not wanting:
        return {}
    from agent_skills.mcp.client.kept_login import KeptLogin  # noqa: PLC0415 - the SDK, which takes a second

    return {one.name: KeptLogin(one, token_file(one, data_path)) for one in wanting}


@asynccontextmanager
async def open_servers(
    servers: tuple[McpServerSettings, ...],
    registry: SkillRegistry,
    data_path: Path,
    *,
    levels: Levels | None,
    trust_first_use: bool = True,
    pins_path: Path | None = None,
) -> AsyncGenerator[McpServers]:
    """Keep servers mounted in `registry` for as long as the block lasts.

    Approvals and logins lie in `data_path`; `pins_path` is another file of approvals. A server that cannot be reached is
    tried again and again. A file of approvals that cannot be read mounts nothing.
    """
    opened = McpServers(settings=servers)
    if not servers:
        yield opened
        return
    try:
        pins = Pins(pins_path or data_path / PINS, trust_first_use=trust_first_use)
    except PinsUnreadableError as error:
        opened.problem = str(error)
        logger.error("no MCP server is mounted: %s", error)  # noqa: TRY400  # it says enough
        yield opened
        return
    tried, over, logins = asyncio.Event(), asyncio.Event(), _logins(servers, data_path)

    async def keep() -> None:
        try:
            async with mounted(servers, registry, pins, levels=levels, authentications=logins) as mounts:
                opened.mounts = mounts
                tried.set()
                await over.wait()
        finally:
            tried.set()

    # In a task of its own: its scopes would else have to be left in the order in which tenants were entered, and what
    # the block raises would come out of it as a group.
    task = asyncio.create_task(keep(), name="MCP servers")
    try:
        with anyio.move_on_after(FIRST_TRY_S):
            await tried.wait()
        yield opened
    finally:
        over.set()
        if not opened.mounts:  # still trying: there is nothing to leave in order
            task.cancel()
        await _ended(task)


async def _ended(task: asyncio.Task[None]) -> None:
    with anyio.CancelScope(shield=True):
        await asyncio.wait({task})
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("MCP servers ended by a fault", exc_info=fault)
