"""Whether what was set can be, beyond its kind: looked at before a daemon listens, and by `agent doctor`.

What would keep every tenant from being opened keeps the daemon from starting, with one line for each setting that is wrong.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import msgspec

from agent_api.builtin_skills import gaps_of_builtins
from agent_api.composition import open_skills
from agent_api.errors import SettingsError, WrongSettingError
from agent_api.grants import gaps
from agent_api.knowledge import checked_place
from agent_api.mcp.servers import servers_of
from agent_api.operations import targets_of
from agent_api.settings import Origin, Settings
from agent_api.skill_names import unknown_skills
from agent_api.skills import Skills
from agent_skills import Levels

logger = logging.getLogger("agentd")


async def check(settings: Settings, levels: Levels, origins: Sequence[Origin]) -> None:
    """Hold that a daemon can work with these settings.

    Args:
        settings: The settings.
        levels: What this machine can isolate.
        origins: Where each was set.

    Raises:
        SettingsError: at least one is wrong; a line for each.
    """
    found = [*wrong(settings, origins), *await wrong_parts(settings, levels, origins)]
    if len(found) == 1:
        raise found[0]
    if found:
        lines = "".join(f"\n  {error}" for error in found)
        raise SettingsError(f"{len(found)} settings are wrong:{lines}")


def wrong(settings: Settings, origins: Sequence[Origin]) -> Iterator[WrongSettingError]:
    """What is wrong with where the daemon listens, where it is seen, and what it needs; nothing is opened."""
    for look in (_host, _socket, _public_url, _origin, _webhooks, _telemetry, _knowledge_at):
        yield from _raised(partial(look, settings), origins)


async def wrong_parts(
    settings: Settings, levels: Levels, origins: Sequence[Origin]
) -> Sequence[WrongSettingError]:
    """What is wrong with skills, plugins and MCP servers: they are made as a tenant's are, and thrown away."""
    found = list(_raised(partial(servers_of, settings.mcp), origins))
    try:
        # No knowledge base is opened for this, and no tenant's workspace is there yet.
        plain = msgspec.structs.replace(settings, knowledge=False, long_term=False)
        skills = await anyio.to_thread.run_sync(open_skills, plain, levels)
    except WrongSettingError as error:
        found.append(located(error, origins))
    else:
        await skills.aclose()
        for gap in gaps_of_skills(settings, skills, levels):
            logger.warning("%s", gap)
    return found


def gaps_of_skills(settings: Settings, skills: Skills, levels: Levels) -> Iterator[str]:
    """What was set of skills and plugins and does not hold, in words: names of nobody, secrets and walls that are not here."""
    chosen = settings.loaded_plugins()
    if chosen is not None:
        yield from gaps(chosen, skills.grants, {one.entry.name for one in skills.plugins}, levels)
    yield from gaps_of_builtins(settings.builtin, levels)
    yield from unknown_skills(settings, skills.registry)


def located(error: WrongSettingError, origins: Sequence[Origin]) -> WrongSettingError:
    """The error with where the setting was set."""
    name = error.key.partition(".")[0]
    origin = next((one.origin for one in origins if one.name == name), "")
    if error.origin or origin in {"", "default"}:
        return error
    return WrongSettingError(error.key, error.reason, origin=origin)


def _raised(look: Callable[[], object], origins: Sequence[Origin]) -> Iterator[WrongSettingError]:
    try:
        look()
    except WrongSettingError as error:
        yield located(error, origins)


def is_loopback(host: str) -> bool:
    """Whether nobody else can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(settings: Settings) -> None:
    if not settings.uds and not is_loopback(settings.host):
        raise WrongSettingError(
            "host",
            f"refusing to listen on {settings.host!r}: agentd speaks plain HTTP, so it listens on loopback (127.0.0.1, "
            "::1) or a unix socket (--uds) only; put a proxy that speaks TLS in front of it",
        )


def _socket(settings: Settings) -> None:
    folder = Path(settings.uds).expanduser().absolute().parent
    if settings.uds and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise WrongSettingError("uds", f"{folder} is no folder in which a socket can be made")


def _public_url(settings: Settings) -> None:
    _address("public_url", settings.public_url)


def _origin(settings: Settings) -> None:
    _address("origin", settings.origin)
    parts = urlsplit(settings.origin)
    if parts.path.strip("/") or parts.query or parts.fragment:
        reason = f"{settings.origin!r} has more than an origin: {parts.scheme}://{parts.netloc} is enough"
        raise WrongSettingError("origin", reason)


def _address(key: str, url: str) -> None:
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise WrongSettingError(key, f"{url!r} is no address: it begins with https:// or http://")


def _webhooks(settings: Settings) -> None:
    targets_of(settings)


def _telemetry(settings: Settings) -> None:
    if (
        settings.telemetry
        and find_spec("opentelemetry.sdk" if find_spec("opentelemetry") else "opentelemetry") is None
    ):
        raise WrongSettingError(
            "telemetry", "it needs the extra: pip install 'agent-api[otel]', or set it to false"
        )


def _knowledge_at(settings: Settings) -> None:
    place = checked_place(settings.knowledge_at)
    if not place or "://" in place:
        return
    there = next(path for path in (Path(place), *Path(place).parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise WrongSettingError("knowledge_at", f"{there} cannot be written; set another place")
