"""The `@skill` decorator: a typed function becomes a skill. The name, the description and the schema come from it.

Runs nothing: `runner` does.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Generic, ParamSpec, TypeAlias, TypeVar, overload

from agent_core.json_types import JsonObject
from agent_core.tools import Label, ToolExample, ToolSpec
from agent_skills.docstrings import Documentation, read_docstring
from agent_skills.errors import InvalidArgumentsError, SkillDefinitionError
from agent_skills.reading import Choices, PlainReader, Reader
from agent_skills.schema import Parameters

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

Examples: TypeAlias = Iterable[tuple[str, JsonObject]]
"""Utterances of people, each with the arguments that it should lead to."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider accepts as the name of a tool


class Skill(Generic[P, R_co]):
    """A skill. Calling it calls the function, so a module that defines skills is tested like any other."""

    def __init__(
        self, function: Callable[P, R_co], spec: ToolSpec, parameters: Parameters, reader: Reader
    ) -> None:
        self.function = function
        self.spec = spec
        self.parameters = parameters
        self.reader = reader
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself: nothing is validated, no deadline is set."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<skill {self.spec.name}>"


AnySkill: TypeAlias = Skill[..., object]


@overload
def skill(function: Callable[P, R_co], /) -> Skill[P, R_co]: ...


@overload
def skill(
    *,
    name: str = ...,
    examples: Examples = ...,
    labels: Iterable[Label] = ...,
    idempotent: bool = ...,
    timeout_s: float = ...,
    answer: str = ...,
    choices: Choices | None = ...,
    reader: Reader | None = ...,
) -> Callable[[Callable[P, R_co]], Skill[P, R_co]]: ...


def skill(
    function: Callable[P, R_co] | None = None,
    /,
    *,
    name: str = "",
    examples: Examples = (),
    labels: Iterable[Label] = (),
    idempotent: bool = False,
    timeout_s: float = 30.0,
    answer: str = "",
    choices: Choices | None = None,
    reader: Reader | None = None,
) -> Skill[P, R_co] | Callable[[Callable[P, R_co]], Skill[P, R_co]]:
    """Make a skill of a typed function, sync or async.

    The docstring is the description; arguments are described in its `Args:` section or by
    `Annotated[int, msgspec.Meta(description=...)]`. A parameter annotated `ToolContext` is filled in by the runner.
    A sync function runs in a worker thread, so it may block; an async function must not.

    Args:
        function: the function, where there are no parentheses.
        name: how the model calls it; the function's name if empty. Letters, digits, `_` and `-`, at most 64.
        examples: (utterance, arguments) pairs; weak models are routed and prompted by them.
        labels: what a policy must know: reads private data, returns untrusted content, sends out, destroys.
        idempotent: True where calling again with the same arguments does no harm.
        timeout_s: seconds one call may take.
        answer: how a weak model's answer is put together: a `str.format` template over the arguments and `result`.
        choices: reads the values that arguments may take out of a request; see `Choices`.
        reader: reads more than choices, and prepares the examples; see `Reader`. It goes before `choices`.

    Raises:
        SkillDefinitionError: the function cannot be a skill; the message says what to change.
    """

    def decorate(function: Callable[P, R_co]) -> Skill[P, R_co]:
        tool, documentation = _check(function, name or getattr(function, "__name__", ""), timeout_s)
        parameters = Parameters(function, documentation.arguments, tool)
        spec = ToolSpec(
            name=tool,
            description=documentation.description,
            parameters=parameters.schema,
            examples=_read_examples(examples, parameters, tool),
            labels=tuple(labels),
            idempotent=idempotent,
            timeout_s=timeout_s,
            answer=answer,
        )
        return Skill(function, spec, parameters, reader or PlainReader(choices))

    return decorate if function is None else decorate(function)


def _check(function: Callable[..., object], name: str, timeout_s: float) -> tuple[str, Documentation]:
    documentation = read_docstring(inspect.getdoc(function))
    if not _NAME.fullmatch(name):
        raise SkillDefinitionError(
            name, "its name must be 1 to 64 letters, digits, `_` or `-`; pass name=..."
        )
    if not documentation.description:
        raise SkillDefinitionError(name, "it has no docstring; a model chooses by its description")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SkillDefinitionError(name, "it is a generator; return the whole result instead")
    if not timeout_s > 0:
        raise SkillDefinitionError(name, f"timeout_s is {timeout_s}; it must be above 0 seconds")
    return name, documentation


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
