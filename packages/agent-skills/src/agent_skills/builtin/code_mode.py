"""The skill `run_code`: a snippet that a model wrote calls the other tools as functions. It runs in Monty (level 3).

What the calls return stays in the snippet; the model reads what it prints, and the value of its last line. Who may call what is
not decided here: every call goes through `ToolContext.tools`, and so through the policy and the limits of the run.
"""

from importlib.util import find_spec
from typing import TypeAlias

import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import InnerTools, ToolContext
from agent_core.tools import ToolResult, ToolSpec
from agent_skills.builtin.python import told
from agent_skills.decoded import as_object
from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.isolation.monty import Function, MontyInterpreter
from agent_skills.registry import SkillRegistry
from agent_skills.skill import skill

NAME = "run_code"
TIMEOUT_S = 70.0
_HELD = frozenset({"approval_needed", "denied", "limit_reached"})
"""What a snippet may go on without, and the model has to be told of."""

Refusals: TypeAlias = list[str]


class CodeModePlugin:
    """Brings `run_code`, over the skills of a registry."""

    def __init__(self, interpreter: MontyInterpreter, registry: SkillRegistry) -> None:
        """`registry` is asked at each snippet, so plugins may come and go."""
        self._interpreter = interpreter
        self._registry = registry

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it; refused where Monty is missing."""
        if find_spec("pydantic_monty") is None:
            raise SkillError("code mode needs Monty; install agent-skills[monty]")
        made = skill(name=NAME, timeout_s=TIMEOUT_S)(self._run)
        made.spec = msgspec.structs.replace(made.spec, calls_tools=True)
        register(made)

    async def _run(self, code: str, context: ToolContext) -> str:
        """Run a snippet of Python in which your tools are functions, and return what it prints and the value of its last line.

        Use it where several calls depend on each other, or where a result is long and only a part of it matters. Call a tool
        with `await` and its arguments by name: `mails = await search_mail(query="invoice")`. A result that is JSON is a
        list or a dict, any other a text. A call that fails raises `RuntimeError`. Only the language and the modules json,
        re, math, datetime and asyncio are there: no files, no network, no packages.

        Args:
            code: The snippet.
            context: The run, whose tools are called.
        """
        if context.tools is None:
            raise SkillFailedError(f"{NAME} works only within a run, where its calls are decided on")
        refusals: Refusals = []
        functions = {
            one.spec.name.replace("-", "_"): _function(one.spec, context.tools, refusals)
            for one in self._registry.skills()
            if not one.spec.calls_tools
        }
        try:
            snippet = await self._interpreter.run(code, functions=functions)
        except SkillFailedError as error:
            raise SkillFailedError(_with(refusals, str(error)), code=error.code) from error
        return _with(refusals, told(snippet))


def _function(spec: ToolSpec, tools: InnerTools, refusals: Refusals) -> Function:
    """A tool as a function: arguments by name, or in the order of its schema."""
    order = tuple(as_object(spec.parameters.get("properties")))

    async def function(*args: object, **kwargs: object) -> object:
        if len(args) > len(order):
            raise TypeError(f"{spec.name} takes at most {len(order)} arguments, and was given {len(args)}")
        arguments: JsonObject = {**dict(zip(order, args, strict=False)), **kwargs}
        result = await tools(spec.name, arguments)
        if result.error in _HELD:
            refusals.append(f"{spec.name} was not called: {result.content}")
        if result.is_error:
            raise RuntimeError(f"{spec.name}: {result.content}")
        return _value(result)

    return function


def _value(result: ToolResult) -> object:
    try:
        return msgspec.json.decode(result.content)
    except msgspec.DecodeError:
        return result.content


def _with(refusals: Refusals, text: str) -> str:
    return "\n".join([text, *dict.fromkeys(refusals)]) if refusals else text
