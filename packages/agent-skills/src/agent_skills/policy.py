"""What the operator grants: to which plugin which secrets, hosts and folders, and how much of a wall and a budget.

Whether a call is allowed, asked about or denied is decided before by agent_core's policy, from labels and taint. Here is
what holds while it runs. Nothing is granted that is not named.
"""

from collections.abc import Mapping

import msgspec

from agent_skills.isolation.egress import Egress
from agent_skills.isolation.sandbox import MEBIBYTE, Sandbox
from agent_skills.needs import Level
from agent_skills.skill import AnySkill


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may be spent within one run. 0: as much as there is."""

    calls: int = 0
    run_s: float = 0.0
    """Seconds that calls ran, added up; those that ran side by side count each. A call is stopped where they end."""
    result_chars: int = 0
    """Characters of results, added up; a result is cut where they end."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one plugin is given."""

    secrets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """`api.example.org`, `*.example.org` for all below it, or `*`."""
    level: Level = Level.IN_PROCESS
    """The least wall around each of its skills."""
    read: tuple[str, ...] = ()
    """Files and folders that its sandboxed skills may read."""
    write: tuple[str, ...] = ()
    """Folders that they may write to."""
    programs: bool = False
    """They may start programs."""
    memory_bytes: int = 512 * MEBIBYTE
    budget: Budget = Budget()
    """Of each of its skills."""


NO_GRANT = Grant()


class Grants(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """All grants of an operator."""

    plugins: Mapping[str, Grant] = {}
    """By the name of a plugin."""
    per_run: Budget = Budget()
    """Of all skills together."""

    def of(self, plugin: str) -> Grant:
        """What a plugin is given: nothing, if nobody said so."""
        return self.plugins.get(plugin, NO_GRANT)

    def level(self, skill: AnySkill, plugin: str) -> Level:
        """Where a skill runs: behind the highest of the walls that its author, the operator and its origin ask for."""
        least = Level.WORKER if skill.home is not None else Level.IN_PROCESS
        return max(skill.needs.level, self.of(plugin).level, least)

    def refusal(self, skill: AnySkill, plugin: str) -> str:
        """What a skill needs and was not granted, in words; empty: nothing."""
        grant, needs = self.of(plugin), skill.needs
        secrets = [name for name in needs.secrets if name not in grant.secrets]
        if secrets:
            return f"{skill.spec.name} wants the secret {secrets[0]!r}, which is not granted to the plugin {plugin!r}"
        hosts = [host for host in needs.hosts if not covers(grant.hosts, host)]
        if hosts:
            return f"{skill.spec.name} wants to reach {hosts[0]!r}, which is not granted to the plugin {plugin!r}"
        return ""

    def room(self, plugin: str) -> Sandbox:
        """What a sandboxed skill of a plugin is left with."""
        grant = self.of(plugin)
        return Sandbox(
            read=grant.read,
            write=grant.write,
            folder=grant.write[0] if grant.write else "",
            egress=Egress(hosts=grant.hosts),
            programs=grant.programs,
            memory_bytes=grant.memory_bytes,
        )


def covers(patterns: tuple[str, ...], host: str) -> bool:
    """Whether patterns such as `*.example.org` take in a host, or another pattern as a whole."""
    name = host.lower().rstrip(".")
    return any(
        pattern in {"*", name}
        or (pattern.startswith("*.") and name.endswith(pattern[1:]) and name != pattern[1:])
        for pattern in patterns
    )
