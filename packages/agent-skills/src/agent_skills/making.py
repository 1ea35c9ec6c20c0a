"""How a typed function becomes a skill: its name, description and schema are read from it, and checked.

Imported when the first skill is made: a host whose skills are all known from manifests never reads a signature.
"""

import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from agent_core.tools import ToolExample, ToolSpec
from agent_skills.decoded import as_object
from agent_skills.docstrings import Documentation, read_docstring
from agent_skills.errors import InvalidArgumentsError, SkillDefinitionError
from agent_skills.needs import Level, Needs
from agent_skills.reading import Reader
from agent_skills.schema import Parameters
from agent_skills.secrets import is_secret_name
from agent_skills.skill import AnySkill, Examples, Options, Skill

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider accepts as the name of a tool
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")


def make(
    function: Callable[P, R_co], options: Options, examples: Examples, reader: Reader, needs: Needs
) -> Skill[P, R_co]:
    """Make a skill of a function.

    Raises:
        SkillDefinitionError: it cannot be a skill; the message says what to change.
    """
    tool = options.name or getattr(function, "__name__", "")
    documentation = _check(function, tool, options.timeout_s)
    parameters = Parameters(function, documentation.arguments, tool)
    spec = ToolSpec(
        name=tool,
        description=documentation.description,
        parameters=parameters.schema,
        examples=_read_examples(examples, parameters, tool),
        labels=options.labels,
        roles=options.roles,
        fields=options.fields,
        idempotent=options.idempotent,
        timeout_s=options.timeout_s,
        answer=options.answer,
    )
    made = Skill(function, spec, parameters, reader, needs=needs)
    _check_roles(spec)
    _check_needs(made)
    return made


def _check(function: Callable[..., object], name: str, timeout_s: float) -> Documentation:
    documentation = read_docstring(inspect.getdoc(function))
    if not _NAME.fullmatch(name):
        raise SkillDefinitionError(
            name, "its name must be 1 to 64 letters, digits, `_` or `-`; pass name=..."
        )
    if not documentation.description:
        raise SkillDefinitionError(name, "it has no docstring; a model chooses by its description")
    if inspect.isgeneratorfunction(function):
        raise SkillDefinitionError(
            name, "it is a generator; return the whole result, or make it async to yield `Progress`"
        )
    if not timeout_s > 0:
        raise SkillDefinitionError(name, f"timeout_s is {timeout_s}; it must be above 0 seconds")
    return documentation


def _check_roles(spec: ToolSpec) -> None:
    properties = as_object(spec.parameters.get("properties"))
    unknown = sorted(set(spec.roles) - set(properties))
    if unknown:
        raise SkillDefinitionError(
            spec.name, f"it has no argument {unknown[0]!r} to give a role to; there are {sorted(properties)}"
        )


def _check_needs(made: AnySkill) -> None:
    name, needs = made.spec.name, made.needs
    wrong = [secret for secret in needs.secrets if not is_secret_name(secret)]
    if wrong:
        raise SkillDefinitionError(name, f"{wrong} are no names of secrets: use lower case, digits and `_`")
    if needs.secrets and not made.parameters.secrets_name:
        raise SkillDefinitionError(
            name, "it wants secrets and has no parameter for them; annotate one `Secrets`"
        )
    strange = [host for host in needs.hosts if not _HOST.fullmatch(host)]
    if strange:
        raise SkillDefinitionError(
            name, f"{strange} are no hosts; write `api.example.org` or `*.example.org`"
        )
    if needs.concurrency < 0:
        raise SkillDefinitionError(name, f"concurrency is {needs.concurrency}; it must be 0 or more")
    if needs.level is Level.INTERPRETED:
        raise SkillDefinitionError(
            name, "level INTERPRETED is for snippets and components, see `isolation.monty`; use SANDBOX"
        )


def _read_examples(examples: Examples, parameters: Parameters, name: str) -> tuple[ToolExample, ...]:
    read = tuple(ToolExample(utterance=text, arguments=dict(arguments)) for text, arguments in examples)
    for example in read:
        try:
            parameters.parse(example.arguments)
        except InvalidArgumentsError as error:
            raise SkillDefinitionError(
                name, f"its example {example.utterance!r} is wrong: {error}"
            ) from error
    return read
