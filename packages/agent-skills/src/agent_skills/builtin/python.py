"""The skill `python`: what a model wrote in Python. As snippets in Monty (level 3), or as full CPython in a sandbox (level 2)."""

from importlib.util import find_spec

import msgspec

from agent_skills.errors import SkillError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.isolation.monty import MontyInterpreter, Snippet
from agent_skills.programs.sandboxed import Programs
from agent_skills.skill import skill

TIMEOUT_S = 30.0
_EXAMPLES = (
    ("use python to add the numbers from 1 to 100", {"code": "print(sum(range(101)))"}),
    ("calculate the standard deviation of 2, 4 and 9 in python", {"code": "x = [2, 4, 9]\nprint(x)"}),
    ("write a python program that sorts 3, 1, 2", {"code": "print(sorted([3, 1, 2]))"}),
)


class SnippetsPlugin:
    """Brings `python` by Monty: a part of Python, quick, without files, network or imports of your own."""

    def __init__(self, interpreter: MontyInterpreter) -> None:
        self._interpreter = interpreter

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it; refused where Monty is missing."""
        if find_spec("pydantic_monty") is None:
            raise SkillError("running snippets needs Monty; install agent-skills[monty]")
        register(skill(name="python", examples=_EXAMPLES, idempotent=True, timeout_s=70.0)(self._run))

    async def _run(self, code: str) -> str:
        """Run a snippet of Python and return what it printed and the value of its last line.

        Only the language and the modules json, re, math and datetime: no files, no network, no packages.

        Args:
            code: The snippet.
        """
        return told(await self._interpreter.run(code))


def told(snippet: Snippet) -> str:
    """What a snippet printed and came to, for a model."""
    if snippet.value is None:
        return snippet.output or "[it ended well and said nothing]"
    try:
        value = msgspec.json.encode(snippet.value).decode()
    except (TypeError, ValueError, RecursionError):
        value = repr(snippet.value)
    return f"{snippet.output}{value}"


class PythonPlugin:
    """Brings `python` by CPython in a sandbox: the whole language and its library, a new interpreter each time."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it."""
        decorate = skill(name="python", examples=_EXAMPLES, idempotent=True, timeout_s=TIMEOUT_S + 10.0)
        made = decorate(self._run)
        made.spec = self._programs.described(made.spec)
        register(made)

    async def _run(self, code: str) -> str:
        """Run a program in Python and return what it printed.

        The standard library is there, no other package, and only a temporary folder.

        Args:
            code: The program.
        """
        argv = [self._programs.python, "-I", "-B", "-"]
        return (await self._programs.run(argv, stdin=code, timeout_s=TIMEOUT_S)).told()
