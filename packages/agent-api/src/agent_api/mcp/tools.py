"""The skills that a key may call directly. Each call takes a place among the daemon's runs, and is a line in the audit log."""

import time
from collections.abc import Sequence

import structlog

from agent_api.access.audit import AuditLog, Entry
from agent_api.access.keys import ApiKey
from agent_api.supervisor import Supervisor
from agent_core.json_types import JsonObject
from agent_core.policy import Verdict
from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec
from agent_skills.mcp.server.exchange import Exchange
from agent_skills.mcp.server.skill_tools import SkillTools


class TenantTools:
    """The tools of one key, as an `McpServer` asks for them: what the tenant has at that moment."""

    def __init__(self, supervisor: Supervisor, key: ApiKey, audit: AuditLog) -> None:
        self._skills = supervisor.agent.skills
        rules = supervisor.agent.settings.policy.tools
        self._denied = frozenset(name for name, verdict in rules.items() if verdict is Verdict.DENY)
        self._runner = _Watched(supervisor, key, audit)

    async def list(self) -> Sequence[JsonObject]:
        """The tools as the protocol describes them."""
        return await self._offered().list()

    async def call(self, name: str, arguments: JsonObject, exchange: Exchange) -> JsonObject:
        """Call one.

        Raises:
            McpRefusedError: there is no such tool, or its user cannot be asked.
        """
        return await self._offered().call(name, arguments, exchange)

    def _offered(self) -> SkillTools:
        # What asks a person is for runs, which can wait; and all are listed, so none has to be found.
        names = [spec.name for _, spec in self._skills.listed() if not spec.asks and not spec.finds_tools]
        return SkillTools(self._runner, [name for name in names if name not in self._denied])


class _Watched:
    """A tool runner around the tenant's."""

    def __init__(self, supervisor: Supervisor, key: ApiKey, audit: AuditLog) -> None:
        self._supervisor = supervisor
        self._inner = supervisor.agent.skills.runner
        self._key = key
        self._audit = audit

    async def specs(self, query: str) -> Sequence[ToolOffer]:
        return await self._inner.specs(query)

    def spec(self, name: str) -> ToolSpec | None:
        return self._inner.spec(name)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        capacity = self._supervisor.capacity
        if capacity.is_used_up:
            return ToolResult(
                tool_call_id=call.tool_call_id,
                content="the daemon does as much as it may; try again in a moment",
                error="busy",
                retryable=True,
            )
        capacity.take()
        try:
            result = await self._inner.run(call, context)
        finally:
            capacity.release()
        self._note(call.name, result)
        return result

    def _note(self, name: str, result: ToolResult) -> None:
        self._audit.note(
            Entry(
                at=round(time.time(), 3),
                tenant=self._key.tenant,
                key_id=self._key.key_id,
                action="skill called over MCP",
                target=name,
                status=500 if result.is_error else 200,
                request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
            )
        )
