"""Names in settings that nothing has, each with the nearest one that there is: a name that is denied and wrong denies nothing."""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from agent_api.mcp.servers import McpServers
from agent_api.settings import Settings
from agent_skills import SkillRegistry
from agent_skills.mcp.client.mount import mounted_name

BUILT_IN = frozenset(
    {
        *(
            "ask_person",
            "calculator",
            "clock",
            "fetch",
            "files_list",
            "files_read",
            "find_skills",
            "knowledge_search",
        ),
        *("plan", "python", "recall", "remember", "run_code", "shell", "skill_script", "web_search"),
    }
)
"""What may be named whether it is switched on or not: who denies `shell` means it for the day on which somebody switches it on."""


def nearest(name: str, known: Collection[str]) -> str:
    """What may be meant by a name that is none, as the end of a sentence; empty: nothing is near."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"; is {near[0]!r} meant?" if near else ""


def unknown_skills(settings: Settings, registry: SkillRegistry) -> Iterator[str]:
    """Names of `skills` and `policy.tools` that are no skill's, in words. What looks like a tool of an MCP server is not looked at."""
    offered = {one.spec.name for one in registry.skills()} | set(registry.left_out) | BUILT_IN
    of_servers = tuple(f"{server}_" for server in settings.mcp.servers)
    for field, names in _named(settings):
        for name in sorted(set(names) - offered):
            if not name.startswith(of_servers):
                yield f"{field} names {name!r}, which no skill is called{nearest(name, offered)}"


def unknown_tools(settings: Settings, servers: McpServers) -> Iterator[str]:
    """Names there that look like a tool of an MCP server, and are none. Of one that is not there nobody knows."""
    for server, mount in servers.mounts.items():
        if mount.problem:
            continue
        offered = {mounted_name(server, one.name) for one in mount.tools}
        others = tuple(f"{one.name}_" for one in servers.settings if len(one.name) > len(server))
        for field, names in _named(settings):
            for name in sorted(set(names) - offered - BUILT_IN):
                if name.startswith(f"{server}_") and not name.startswith(others):
                    yield f"{field} names {name!r}, which no tool of {server} is called{nearest(name, offered)}"


def _named(settings: Settings) -> Sequence[tuple[str, Collection[str]]]:
    return (
        ("skills.allow", settings.skills.allow or ()),
        ("skills.deny", settings.skills.deny),
        ("policy.tools", settings.policy.tools),
    )
