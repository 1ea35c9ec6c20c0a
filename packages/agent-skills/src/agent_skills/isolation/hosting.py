"""Inside a worker: plugins are loaded, and their skills called. The host's side is `workers`."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any, cast

import msgspec

from agent_core.ports import ToolContext
from agent_skills.errors import SkillError
from agent_skills.isolation.in_process import last_of
from agent_skills.manifest import described
from agent_skills.progress import Progress
from agent_skills.results import served
from agent_skills.secrets import Secrets
from agent_skills.skill import AnySkill, Kind, Skill

Emit = Callable[[object], None]

_skills: dict[str, AnySkill] = {}
_runner: asyncio.Runner | None = None


def load(plugin: str, target: str) -> object:
    """Import a plugin and register it; returns its manifest as JSON values.

    Raises:
        PluginRefusedError: what is wrong with it.
        BaseException: whatever its import raised.
    """
    from agent_skills.registry import SkillRegistry  # noqa: PLC0415 - a skill found by its module needs no pluggy

    registry = SkillRegistry(elsewhere=True)
    registry.register(plugin, resolve(target))
    _skills.update({skill.spec.name: skill for skill in registry.skills()})
    return msgspec.to_builtins(described(registry.skills()))


def resolve(target: str) -> object:
    """What an entry point names: a module, or something in it."""
    module_name, _, attributes = target.partition(":")
    found: object = importlib.import_module(module_name.strip())
    for attribute in attributes.split(".") if attributes else ():
        found = getattr(found, attribute.strip())
    return found


def call(message: Mapping[str, Any], emit: Emit) -> str:
    """Serve one call; `emit` is told how far it is. Returns the text of the result.

    Raises:
        InvalidArgumentsError: the arguments do not fit.
        Exception: whatever the skill raised.
    """
    skill = _find(message["skill"], message["target"])
    arguments = skill.parameters.parse(message["arguments"])
    if skill.parameters.context_name:
        arguments[skill.parameters.context_name] = msgspec.convert(message["context"], ToolContext)
    if skill.parameters.secrets_name:
        arguments[skill.parameters.secrets_name] = Secrets(message["secrets"])
    return served(_run(skill, arguments, emit), skill.spec.name, message["max_chars"]).text


def _find(name: str, target: str) -> AnySkill:
    if not target:
        return _skills[name]
    found = resolve(target)
    if not isinstance(found, Skill):
        raise SkillError(f"{target} is no skill")
    return cast("AnySkill", found)


def _run(skill: AnySkill, arguments: dict[str, object], emit: Emit) -> object:
    if skill.kind is Kind.SYNC:
        return skill.function(**arguments)
    global _runner  # noqa: PLW0603 - one loop as long as the process
    _runner = _runner or asyncio.Runner()
    return _runner.run(_await(skill, arguments, emit))


async def _await(skill: AnySkill, arguments: dict[str, object], emit: Emit) -> object:
    made = skill.function(**arguments)
    if skill.kind is Kind.STEPS:

        def tell(step: Progress) -> None:
            emit(msgspec.to_builtins(step))

        return await last_of(cast("AsyncGenerator[object]", made), tell)
    return await cast("Awaitable[object]", made)


def modules_needed() -> tuple[str, ...]:
    """The packages that a worker imports to do all this; the host makes them readable in a sandbox."""
    names = (
        "agent_skills",
        "agent_core",
        "msgspec",
        "anyio",
        "idna",
        "pluggy",
        "typing_extensions",
        "text_to_num",
    )
    return tuple(name for name in names if find_spec(name) is not None)
