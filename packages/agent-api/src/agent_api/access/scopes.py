"""What a key may be allowed to do. A route names the scope that it needs; one that names none is closed to everybody."""

from enum import StrEnum


class Scope(StrEnum):
    """One permission."""

    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    APPROVALS_WRITE = "approvals:write"
    """Allow and deny calls, answer questions."""
    MODELS_USE = "models:use"
    """The OpenAI-compatible API."""
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_WRITE = "knowledge:write"
    MEMORY_READ = "memory:read"
    MEMORY_WRITE = "memory:write"
    SKILLS_READ = "skills:read"
    SKILLS_USE = "skills:use"
    """Call skills directly, by the Model Context Protocol."""
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_WRITE = "schedules:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    SKILLS_ADMIN = "skills:admin"
    """Approve what MCP servers offer."""
    USAGE_READ = "usage:read"
    KEYS_ADMIN = "keys:admin"
    """Make, list and revoke the keys of the own tenant, with scopes that the key itself has."""
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    """The figures of the whole daemon."""
    TENANTS_ADMIN = "tenants:admin"
    """Make and revoke keys of every tenant."""


ALL = tuple(scope.value for scope in Scope)
"""Of the admin key that the first start prints."""

USER = tuple(
    scope.value
    for scope in Scope
    if scope
    not in {
        Scope.KEYS_ADMIN,
        Scope.SKILLS_ADMIN,
        Scope.AUDIT_READ,
        Scope.METRICS_READ,
        Scope.TENANTS_ADMIN,
    }
)
"""Of a key that is made without naming any."""

ANY_KEY = "any"
"""What a route names that answers every valid key: the description of the API."""

NO_KEY = "none"
"""What a route names that answers anybody: health alone."""
