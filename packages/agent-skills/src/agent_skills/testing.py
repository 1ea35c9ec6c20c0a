"""What authors of skills need in their tests: one check that holds what a host and a model rely on."""

import importlib
import re
from types import ModuleType

import anyio

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolExample, ToolResult
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.registry import SkillRegistry
from agent_skills.runner import SkillRunner
from agent_skills.skill import AnySkill

MIN_EXAMPLES = 1
"""Weak models are routed by examples: a skill without any is never proposed to them."""


def check_skill(skill: AnySkill, *, run: bool = True) -> ToolResult | None:
    """Check one skill as a host sees it; returns the result of its first example.

    Holds that the schema is valid (where `jsonschema` is installed), that there are examples, that they fit the
    schema, that the answer template can be filled in, and that the first example runs without an error. It runs
    an event loop of its own: call it from a plain test, not from an async one.

    Args:
        skill: what the decorator made.
        run: False for a skill that acts on the world: nothing is run then, and None is returned.

    Raises:
        AssertionError: something does not hold; the message says what.
        DuplicateSkillError, PluginRefusedError: it cannot be registered.
    """
    spec = skill.spec
    _hold(spec.parameters.get("type") == "object", skill, "its schema is no object at the root")
    _hold(
        len(spec.examples) >= MIN_EXAMPLES,
        skill,
        "it has no examples: pass examples=[(utterance, arguments)]",
    )
    _check_schema(skill)
    for example in spec.examples:
        skill.parameters.parse(example.arguments)
        _check_answer(skill, example)
    if not run:
        return None
    result = anyio.run(_run, skill)
    _hold(not result.is_error, skill, f"its first example failed ({result.error}): {result.content}")
    return result


class _OneSkill:
    def __init__(self, skill: AnySkill) -> None:
        self._skill = skill

    @hookimpl
    def register_skills(self, register: Register) -> None:
        register(self._skill)


async def _run(skill: AnySkill) -> ToolResult:
    registry = SkillRegistry()
    registry.register("checked", _OneSkill(skill))
    call = ToolCall(tool_call_id="check", name=skill.spec.name, arguments=skill.spec.examples[0].arguments)
    context = ToolContext(run_id="check", session_id="check", idempotency_key="check")
    return await SkillRunner(registry).run(call, context)


def _check_schema(skill: AnySkill) -> None:
    jsonschema = _jsonschema()
    if jsonschema is None:
        return
    jsonschema.Draft202012Validator.check_schema(skill.spec.parameters)
    validator = jsonschema.Draft202012Validator(skill.spec.parameters)
    for example in skill.spec.examples:
        problems = "; ".join(error.message for error in validator.iter_errors(example.arguments))
        _hold(not problems, skill, f"its example {example.utterance!r} does not fit the schema: {problems}")


def _jsonschema() -> ModuleType | None:
    try:
        return importlib.import_module("jsonschema")
    except ImportError:
        return None


def _check_answer(skill: AnySkill, example: ToolExample) -> None:
    fields = set(re.findall(r"{(\w+)", skill.spec.answer))
    missing = fields - {"result", *example.arguments}
    _hold(
        not missing,
        skill,
        f"its answer template wants {sorted(missing)}, which {example.utterance!r} leaves out",
    )


def _hold(holds: bool, skill: AnySkill, problem: str) -> None:
    if not holds:
        raise AssertionError(f"skill {skill.spec.name!r}: {problem}")
