"""`SkillRunner`: agent_core's `ToolRunner` port over the registered skills. A failure of a skill is a result.

Codes of failed results are stable: `unknown_tool`, `malformed_arguments`, `invalid_arguments`, `not_granted`,
`budget_spent`, `secret_missing`, `timeout`, `busy`, `worker_died`, `isolation_missing`, `unreadable_result`, `skill_failed`
(or the skill's own code), `skill_crashed` (an exception that it did not mean).
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import anyio
import anyio.to_thread
import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec
from agent_skills.budgets import Ledger
from agent_skills.errors import (
    InvalidArgumentsError,
    IsolationError,
    SkillBusyError,
    SkillCrashedError,
    SkillError,
    SkillFailedError,
    SkillTimeoutError,
    UnreadableResultError,
    WorkerDiedError,
)
from agent_skills.isolation.in_process import InProcess, OnStep
from agent_skills.needs import Level
from agent_skills.offers import OfferAll, Ranked, RouterFactory
from agent_skills.policy import Grants
from agent_skills.progress import OnProgress
from agent_skills.registry import SkillRegistry
from agent_skills.results import MAX_RESULT_CHARS, Served, as_text, served
from agent_skills.schema_strict import strict
from agent_skills.secrets import NO_SECRETS, Secrets, SecretSource, of_this_machine
from agent_skills.skill import AnySkill

if TYPE_CHECKING:
    from agent_skills.isolation.levels import Levels
    from agent_skills.isolation.workers import Workers

RANKING_TIMEOUT_S = 5.0
"""Seconds that the skills may take together to read a request; after that none is proposed."""
MAX_RANKINGS = 8
"""Requests that may be ranked at once, those included that were given up on: a thread cannot be stopped."""
_MAX_NAMED = 20

logger = logging.getLogger(__name__)


class _Job(NamedTuple):
    """A call that may be made."""

    skill: AnySkill
    plugin: str
    call: ToolCall
    arguments: dict[str, object]
    context: ToolContext
    max_chars: int
    """Of the result."""


class SkillRunner:
    """Finds and runs the skills of a registry."""

    def __init__(
        self,
        registry: SkillRegistry,
        *,
        router: RouterFactory = OfferAll,
        max_result_chars: int = MAX_RESULT_CHARS,
        grants: Grants | None = None,
        secrets: SecretSource = of_this_machine,
        levels: "Levels | None" = None,
        on_progress: OnProgress | None = None,
        strict_schemas: bool = False,
    ) -> None:
        """A runner over the skills of a registry.

        Args:
            registry: the skills.
            router: builds what ranks the skills for a request.
            max_result_chars: where results are cut.
            grants: what the operator grants to plugins; nothing, if nothing is said.
            secrets: where the secrets are that were granted.
            levels: which levels of isolation this machine has, from `isolation.levels.probe`.
            on_progress: told how far calls are.
            strict_schemas: offer schemas in the form of vendors' strict modes, where a skill's has one.
        """
        self._registry = registry
        self._router_factory = router
        self._router = router(())
        self._router_revision = -1
        self._max_result_chars = max_result_chars
        self._in_process = InProcess()
        self._grants = grants or Grants()
        self._ledger = Ledger(self._grants.per_run)
        self._secret_source = secrets
        self._levels = levels
        self._kept_workers: Workers | None = None
        self._on_progress = on_progress
        self._is_strict = strict_schemas
        self._strict_specs: dict[str, tuple[AnySkill, ToolSpec]] = {}
        self._limiters: dict[str, anyio.CapacityLimiter] = {}
        self._under_way: Counter[str] = Counter()
        self._draining: dict[str, anyio.Event] = {}
        self._rankings = anyio.CapacityLimiter(MAX_RANKINGS)

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one skill, or None where there is none of that name."""
        skill = self._registry.get(name)
        return None if skill is None else self._offered(skill)

    def _offered(self, skill: AnySkill) -> ToolSpec:
        if not self._is_strict:
            return skill.spec
        name = skill.spec.name
        known = self._strict_specs.get(name)
        if known is None or known[0] is not skill:
            schema = strict(skill.spec.parameters) or skill.spec.parameters
            known = self._strict_specs[name] = skill, msgspec.structs.replace(skill.spec, parameters=schema)
        return known[1]

    async def specs(self, query: str) -> Sequence[ToolOffer]:
        """The skills to offer for `query`, best first."""
        if self._router_revision != self._registry.revision:
            self._router_revision = self._registry.revision
            self._router = self._router_factory(self._registry.skills())
        ranked = ((one, self._registry.get(one.name)) for one in await self._rank(query))
        return [_offer(one, self._offered(skill)) for one, skill in ranked if skill is not None]

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
        plugin = self._registry.owner(call.name)
        refused = self._grants.refusal(skill, plugin)
        if refused:
            return _refuse(call, "not_granted", refused)
        budget = self._grants.of(plugin).budget
        spent = self._ledger.begin(context.run_id, call.name, budget)
        if spent:
            return _refuse(call, "budget_spent", f"{spent}; go on without it")
        left = self._ledger.left(context.run_id, call.name, budget)
        job = _Job(skill, plugin, call, arguments, context, min(left.result_chars, self._max_result_chars))
        if left.run_s == math.inf:
            return await self._perform(job)
        with anyio.move_on_after(left.run_s):
            return await self._perform(job)
        why = f"{call.name} was stopped: the seconds that tools may take in this run are used up"
        return msgspec.structs.replace(_refuse(call, "budget_spent", why), labels=skill.spec.labels)

    async def _perform(self, job: "_Job") -> ToolResult:
        """Run a call that may be made, and count it."""
        began = time.monotonic()
        self._under_way[job.plugin] += 1
        content = ""
        try:
            secrets = self._secrets_for(job.skill)
            try:
                answer = await self._serve(job, secrets)
                content = secrets.mask(answer.text)
            except InvalidArgumentsError as error:
                return _refuse(job.call, "invalid_arguments", _misfit(job.skill, str(error)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a skill may raise anything; it is a result
                return self._failure(job.skill, job.call, error, secrets)
            return ToolResult(
                tool_call_id=job.call.tool_call_id,
                content=content,
                labels=job.skill.spec.labels,
                fields=job.skill.spec.fields,
                attachments=answer.attachments,
            )
        finally:
            self._under_way[job.plugin] -= 1
            if not self._under_way[job.plugin] and job.plugin in self._draining:
                self._draining[job.plugin].set()
            self._ledger.end(job.context.run_id, job.call.name, time.monotonic() - began, len(content))

    def _secrets_for(self, skill: AnySkill) -> Secrets:
        if not skill.needs.secrets:
            return NO_SECRETS
        found = {name: self._secret_source(name) for name in skill.needs.secrets}
        return Secrets({name: value for name, value in found.items() if value is not None})

    async def _serve(self, job: "_Job", secrets: Secrets) -> Served:
        """The result, from where the skill runs."""
        skill = job.skill
        if skill.needs.concurrency:
            limiter = self._limiters.setdefault(
                skill.spec.name, anyio.CapacityLimiter(skill.needs.concurrency)
            )
            with anyio.move_on_after(skill.spec.timeout_s):
                async with limiter:
                    return await self._serve_now(job, secrets)
            raise SkillTimeoutError(skill.spec.name, skill.spec.timeout_s)
        return await self._serve_now(job, secrets)

    async def _serve_now(self, job: "_Job", secrets: Secrets) -> Served:
        skill, on_step = job.skill, self._on_step(job)
        missing = [name for name in skill.needs.secrets if name not in secrets]
        if missing:
            raise SkillFailedError(
                f"the secret {missing[0]!r} is not set on this host", code="secret_missing"
            )
        level = self._grants.level(skill, job.plugin)
        if level is not Level.IN_PROCESS:
            text = await self._workers().call(
                skill,
                level,
                job.call.arguments,
                plugin=job.plugin,
                context=job.context,
                secrets=secrets,
                max_chars=job.max_chars,
                on_step=on_step,
            )
            return Served(text)
        if skill.parameters.context_name:
            job.arguments[skill.parameters.context_name] = job.context
        if skill.parameters.secrets_name:
            job.arguments[skill.parameters.secrets_name] = secrets
        value = await self._in_process.call(skill, job.arguments, on_step)
        return served(value, skill.spec.name, job.max_chars)

    def _on_step(self, job: "_Job") -> OnStep | None:
        tell = self._on_progress
        if tell is None:
            return None
        return lambda step: tell(job.context.run_id, job.call.tool_call_id, step)

    def _workers(self) -> "Workers":
        if self._kept_workers is None:
            from agent_skills.isolation.workers import Workers  # noqa: PLC0415 - only who has workers pays for them

            self._kept_workers = Workers(self._levels, self._grants)
        return self._kept_workers

    async def drain(self, plugin: str) -> None:
        """Take a plugin away: no new call is begun, those that are running go on to their end, its workers are ended.

        Raises:
            SkillError: no plugin has that name.
        """
        self._registry.unregister(plugin)
        if self._under_way[plugin]:
            event = self._draining.setdefault(plugin, anyio.Event())
            await event.wait()
            self._draining.pop(plugin, None)
        if self._kept_workers is not None:
            await self._kept_workers.forget(plugin)

    async def aclose(self) -> None:
        """End all workers; may be called twice. A runner whose skills all run in this process has none."""
        workers, self._kept_workers = self._kept_workers, None
        if workers is not None:
            await workers.aclose()

    def _failure(self, skill: AnySkill, call: ToolCall, error: BaseException, secrets: Secrets) -> ToolResult:
        code, retryable = _classify(skill, error)
        text = secrets.mask(str(error))
        if isinstance(error, SkillCrashedError):
            logger.error(
                "skill %s crashed in call %s\n%s", call.name, call.tool_call_id, secrets.mask(error.trace)
            )
        elif not isinstance(error, SkillError):
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
            return "timeout", skill.spec.is_repeatable
        case SkillBusyError():
            return "busy", True
        case UnreadableResultError():
            return "unreadable_result", False
        case WorkerDiedError():
            return "worker_died", skill.spec.is_repeatable
        case IsolationError():
            return "isolation_missing", False
        case SkillFailedError():
            return error.code or "skill_failed", error.may_pass
        case _:
            return "skill_crashed", False


def _offer(ranked: Ranked, spec: ToolSpec) -> ToolOffer:
    return ToolOffer(
        spec=spec,
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
