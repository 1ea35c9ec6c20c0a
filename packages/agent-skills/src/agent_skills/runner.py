"""`SkillRunner`: agent_core's `ToolRunner` port over the registered skills. A failure of a skill is a result.

Codes of failed results are stable: `unknown_tool`, `malformed_arguments`, `invalid_arguments`, `timeout`, `busy`,
`unreadable_result`, `skill_failed` (or the skill's own code), `skill_crashed` (an exception that it did not mean).
"""

import logging
from collections.abc import Sequence

import anyio
import anyio.to_thread
import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec
from agent_skills.errors import (
    InvalidArgumentsError,
    SkillBusyError,
    SkillError,
    SkillFailedError,
    SkillTimeoutError,
    UnreadableResultError,
)
from agent_skills.isolation.in_process import InProcess
from agent_skills.offers import OfferAll, Ranked, RouterFactory
from agent_skills.registry import SkillRegistry
from agent_skills.results import MAX_RESULT_CHARS, as_text
from agent_skills.skill import AnySkill

RANKING_TIMEOUT_S = 5.0
"""Seconds that the skills may take together to read a request; after that none is proposed."""
MAX_RANKINGS = 8
"""Requests that may be ranked at once, those included that were given up on: a thread cannot be stopped."""
_MAX_NAMED = 20

logger = logging.getLogger(__name__)


class SkillRunner:
    """Finds and runs the skills of a registry."""

    def __init__(
        self,
        registry: SkillRegistry,
        *,
        router: RouterFactory = OfferAll,
        max_result_chars: int = MAX_RESULT_CHARS,
    ) -> None:
        """`router` builds what ranks the skills for a request; `max_result_chars` is where results are cut."""
        self._registry = registry
        self._router_factory = router
        self._router = router(())
        self._router_revision = -1
        self._max_result_chars = max_result_chars
        self._in_process = InProcess()
        self._rankings = anyio.CapacityLimiter(MAX_RANKINGS)

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one skill, or None where there is none of that name."""
        skill = self._registry.get(name)
        return None if skill is None else skill.spec

    async def specs(self, query: str) -> Sequence[ToolOffer]:
        """The skills to offer for `query`, best first."""
        if self._router_revision != self._registry.revision:
            self._router_revision = self._registry.revision
            self._router = self._router_factory(self._registry.skills())
        ranked = ((one, self._registry.get(one.name)) for one in await self._rank(query))
        return [_offer(one, skill) for one, skill in ranked if skill is not None]

    async def _rank(self, query: str) -> Sequence[Ranked]:
        if isinstance(self._router, OfferAll):  # a thread would cost more than the answer
            return self._router.rank(query)
        with anyio.move_on_after(RANKING_TIMEOUT_S):
            return await anyio.to_thread.run_sync(
                self._router.rank, query, abandon_on_cancel=True, limiter=self._rankings
            )
        logger.warning(
            "the skills were not ranked within %s s; all are offered, none proposed", RANKING_TIMEOUT_S
        )
        return OfferAll(self._registry.skills()).rank(query)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one call. Whatever goes wrong is a result with `error` set; only a cancellation passes through."""
        skill = self._registry.get(call.name)
        if skill is None:
            return _refuse(call, "unknown_tool", self._unknown(call.name))
        if call.malformed:
            return _refuse(call, "malformed_arguments", _misfit(skill, "they are not a JSON object at $"))
        try:
            arguments = skill.parameters.parse(call.arguments)
        except InvalidArgumentsError as error:
            return _refuse(call, "invalid_arguments", _misfit(skill, str(error)))
        if skill.parameters.context_name:
            arguments[skill.parameters.context_name] = context
        try:
            value = await self._in_process.call(skill, arguments)
            text = as_text(value, call.name, self._max_result_chars)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a skill may raise anything; it is a result
            return self._failure(skill, call, error)
        return ToolResult(tool_call_id=call.tool_call_id, content=text, labels=skill.spec.labels)

    def _failure(self, skill: AnySkill, call: ToolCall, error: BaseException) -> ToolResult:
        code, retryable = _classify(skill, error)
        text = str(error)
        if not isinstance(error, SkillError):
            logger.error("skill %s crashed in call %s", call.name, call.tool_call_id, exc_info=error)
            # Its text is for the log alone: it may hold secrets, and it was written for no model.
            text = f"{call.name} failed with an internal error ({type(error).__name__})"
        return ToolResult(
            tool_call_id=call.tool_call_id,
            content=as_text(text, call.name, self._max_result_chars),
            error=code,
            retryable=retryable,
            labels=skill.spec.labels,
        )

    def _unknown(self, name: str) -> str:
        names = [skill.spec.name for skill in self._registry.skills()]
        more = ", ..." if len(names) > _MAX_NAMED else ""
        return f"there is no tool {name!r}; there are: {', '.join(names[:_MAX_NAMED]) or 'none'}{more}"


def _classify(skill: AnySkill, error: BaseException) -> tuple[str, bool]:
    """The stable code of a failure, and whether the same call may succeed if made again."""
    match error:
        case SkillTimeoutError():
            # Half of a call that is not idempotent may be done: to make it again is not ours to decide.
            return "timeout", skill.spec.idempotent
        case SkillBusyError():
            return "busy", True
        case UnreadableResultError():
            return "unreadable_result", False
        case SkillFailedError():
            return error.code or "skill_failed", error.may_pass
        case _:
            return "skill_crashed", False


def _offer(ranked: Ranked, skill: AnySkill) -> ToolOffer:
    return ToolOffer(
        spec=skill.spec,
        score=ranked.score,
        proposed=ranked.proposed,
        request=ranked.request,
        shots=ranked.shots,
        readings=ranked.readings,
    )


def _refuse(call: ToolCall, code: str, text: str) -> ToolResult:
    return ToolResult(tool_call_id=call.tool_call_id, content=text, error=code)


def _misfit(skill: AnySkill, problem: str) -> str:
    """What is wrong with the arguments, with the schema: models mend a call when they see both together."""
    schema: JsonObject = skill.spec.parameters
    return (
        f"The arguments of {skill.spec.name} are wrong: {problem}. "
        f"They must fit this JSON schema: {msgspec.json.encode(schema).decode()}"
    )
