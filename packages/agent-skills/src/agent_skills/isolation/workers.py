"""Levels 1 and 2: skills in processes of their own, one pool a plugin and level. Belongs to one event loop."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_skills.errors import (
    InvalidArgumentsError,
    IsolationError,
    SkillCrashedError,
    SkillFailedError,
    UnreadableResultError,
)
from agent_skills.isolation import hosting
from agent_skills.isolation.failure import Failure
from agent_skills.isolation.in_process import OnStep
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.levels import Levels
from agent_skills.isolation.pool import WorkerPool
from agent_skills.isolation.process import Message
from agent_skills.isolation.sandbox import Imports, Interpreter, plain
from agent_skills.needs import Level
from agent_skills.policy import Grants
from agent_skills.progress import Progress
from agent_skills.skill import AnySkill, Home

WORKERS_PER_PLUGIN = 2


class Workers:
    """Calls skills in workers."""

    def __init__(
        self, levels: Levels | None = None, grants: Grants | None = None, *, size: int = WORKERS_PER_PLUGIN
    ) -> None:
        """`levels` is what this machine has, from `probe`; without it there is no sandbox."""
        self._levels = levels
        self._grants = grants or Grants()
        self._size = size
        self._pools: dict[tuple[str, str, Level], WorkerPool] = {}

    async def call(
        self,
        skill: AnySkill,
        level: Level,
        arguments: JsonObject,
        *,
        plugin: str,
        context: ToolContext,
        secrets: Mapping[str, str],
        max_chars: int,
        on_step: OnStep | None = None,
    ) -> str:
        """Call a skill; returns the text of its result.

        Raises:
            InvalidArgumentsError: they do not fit; a worker looks at them.
            SkillTimeoutError, SkillBusyError, WorkerDiedError: it did not end, did not begin, or took its worker along.
            SkillFailedError, UnreadableResultError: as the skill itself would raise them.
            SkillCrashedError: it raised anything else.
            IsolationError: no worker could be started.
        """
        message = {
            "skill": skill.spec.name,
            "target": "" if skill.home else skill.target,
            "arguments": arguments,
            "context": msgspec.to_builtins(context),
            "secrets": dict(secrets),
            "max_chars": max_chars,
        }
        answer = await self._pool(skill, plugin, level).ask(
            message,
            name=skill.spec.name,
            timeout_s=skill.spec.timeout_s,
            on_progress=None if on_step is None else _reader(on_step),
        )
        if "error" in answer:
            raise _error(skill.spec.name, Failure.read(answer["error"]))
        return str(answer.get("ok", ""))

    def _pool(self, skill: AnySkill, plugin: str, level: Level) -> WorkerPool:
        target = skill.home.target if skill.home else skill.target
        key = (plugin, target, level)
        if key not in self._pools:
            self._pools[key] = WorkerPool(
                plugin,
                self._launch(target, level, plugin),
                first=_load(skill.home) if skill.home else {"warm": target},
                size=self._size,
            )
        return self._pools[key]

    def _launch(self, target: str, level: Level, plugin: str) -> Callable[[], Launch]:
        if level is not Level.SANDBOX:
            return plain
        if self._levels is None:
            raise IsolationError("nobody looked whether there is a sandbox: pass levels=await probe()")
        confine, room = self._levels.sandboxed(), self._grants.room(plugin)

        def launch() -> Launch:
            modules = (*hosting.modules_needed(), target.partition(":")[0])
            return confine(room, Interpreter.own(), Imports.of(modules))

        return launch

    async def forget(self, plugin: str) -> None:
        """End the workers of a plugin; calls that are running end with `WorkerDiedError`. The next call loads it anew."""
        gone = [key for key in self._pools if key[0] == plugin]
        await asyncio.gather(*(self._pools.pop(key).aclose() for key in gone))

    async def aclose(self) -> None:
        """End all workers; may be called twice."""
        pools, self._pools = tuple(self._pools.values()), {}
        await asyncio.gather(*(pool.aclose() for pool in pools))


def _load(home: Home) -> Message:
    return {"plugin": home.plugin, "target": home.target}


def _reader(on_step: OnStep) -> Callable[[object], None]:
    def read(said: object) -> None:
        try:
            step = msgspec.convert(said, Progress)
        except msgspec.ValidationError:
            return  # a worker may say anything; what is no step is nothing
        on_step(step)

    return read


def _error(skill: str, failure: Failure) -> Exception:
    """The error that a worker described, as it would have been raised here."""
    match failure.kind:
        case "InvalidArgumentsError":
            return InvalidArgumentsError(failure.path, failure.reason or failure.message)
        case "SkillFailedError":
            code = failure.code or "skill_failed"
            return SkillFailedError(failure.message, code=code, retryable=failure.may_pass)
        case "UnreadableResultError":
            return UnreadableResultError(skill, failure.type_name or "value")
        case _:
            return SkillCrashedError(skill, failure.type, failure.trace or failure.message)
