"""What is there and what was spent: skills, models, usage, the audit log."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from agent_api.access.audit import Entry
from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.access.spending import DaySpending
from agent_api.daemon import Daemon
from agent_api.supervisor import Supervisor
from agent_core.tools import ToolSpec


class PluginSkill(msgspec.Struct, frozen=True, kw_only=True):
    """A skill as the model sees it, and where it came from."""

    plugin: str
    skill: ToolSpec


class SkillList(msgspec.Struct, frozen=True, kw_only=True):
    """The skills of a tenant."""

    items: tuple[PluginSkill, ...]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model that runs can be asked with."""

    name: str
    tool_mode: str
    context_tokens: int


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """The models of this daemon."""

    items: tuple[ModelInfo, ...]


class UsageList(msgspec.Struct, frozen=True, kw_only=True):
    """What keys spent, a row a key and day."""

    items: tuple[DaySpending, ...]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log with its number."""

    number: int
    entry: Entry


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the audit log, the oldest first."""

    items: tuple[AuditEntry, ...]


@get("/api/v1/skills", opt={"scope": Scope.SKILLS_READ}, summary="List skills", tags=("skills",))
async def skills(supervisor: NamedDependency[Supervisor]) -> SkillList:
    """What the model may call."""
    listed = supervisor.agent.skills.listed()
    return SkillList(items=tuple(PluginSkill(plugin=plugin, skill=spec) for plugin, spec in listed))


@get("/api/v1/models", opt={"scope": Scope.RUNS_READ}, summary="List models", tags=("models",))
async def models(supervisor: NamedDependency[Supervisor]) -> ModelList:
    """The model that this daemon asks."""
    profile = supervisor.agent.model.profile
    info = ModelInfo(
        name=profile.name, tool_mode=profile.tool_mode.value, context_tokens=profile.context_tokens
    )
    return ModelList(items=(info,))


@get("/api/v1/usage", opt={"scope": Scope.USAGE_READ}, summary="What was spent", tags=("usage",))
async def usage(
    principal: NamedDependency[Principal],
    daemon: NamedDependency[Daemon],
    since: Annotated[
        str, QueryParameter(pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="A day, as 2026-11-22.")
    ] = "",
) -> UsageList:
    """Tokens and money of the own tenant, a row a key and day (UTC)."""
    return UsageList(items=tuple(daemon.book.days(tenant=principal.tenant, since=since)))


@get("/api/v1/audit", opt={"scope": Scope.AUDIT_READ}, summary="Who did what", tags=("audit",))
async def audit(
    principal: NamedDependency[Principal],
    daemon: NamedDependency[Daemon],
    after: Annotated[int, QueryParameter(ge=0, description="Only lines behind this number.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> AuditPage:
    """The audit log of the own tenant, the oldest first; written within a fifth of a second."""
    lines = daemon.audit.entries(tenant=principal.tenant, after=after, limit=limit)
    return AuditPage(items=tuple(AuditEntry(number=number, entry=entry) for number, entry in lines))
