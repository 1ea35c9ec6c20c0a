"""The `@skill` decorator: a typed function becomes a skill. The name, the description and the schema come from it.

Runs nothing: `runner` does.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Generic, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from agent_core.json_types import JsonObject
from agent_core.tools import ArgumentRole, FieldLabel, Label, ToolExample, ToolSpec
from agent_skills.decoded import as_object
from agent_skills.docstrings import Documentation, read_docstring
from agent_skills.errors import InvalidArgumentsError, SkillDefinitionError
from agent_skills.needs import NOTHING, Level, Needs
from agent_skills.reading import Choices, PlainReader, Reader
from agent_skills.schema import Parameters
from agent_skills.secrets import is_secret_name

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

Examples: TypeAlias = Iterable[tuple[str, JsonObject]]
"""Utterances of people, each with the arguments that it should lead to."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider accepts as the name of a tool
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")


class Home(NamedTuple):
    """The plugin that a worker loads to serve a skill."""

    plugin: str
    target: str
    """`module` or `module:attribute`, as in an entry point."""


class Kind(Enum):
    """How a function is called."""

    SYNC = "sync"
    ASYNC = "async"
    STEPS = "steps"
    """An async generator: it yields `Progress`, and last its result."""


class Checked(Protocol):
    """What a skill must know of its arguments: `Parameters` from a signature, `Declared` from a schema."""

    @property
    def context_name(self) -> str:
        """The parameter that wants the `ToolContext`, or empty."""
        ...

    @property
    def secrets_name(self) -> str:
        """The parameter that wants the `Secrets`, or empty."""
        ...

    def parse(self, arguments: JsonObject) -> dict[str, object]:
        """The arguments as keyword arguments. Raises `InvalidArgumentsError`."""
        ...


class Declared:
    """Arguments that are checked elsewhere, by whoever serves the skill: a worker, another server."""

    context_name = ""
    secrets_name = ""

    def parse(self, arguments: JsonObject) -> dict[str, object]:
        """As they are."""
        return dict(arguments)


class Skill(Generic[P, R_co]):
    """A skill. Calling it calls the function, so a module that defines skills is tested like any other."""

    def __init__(
        self,
        function: Callable[P, R_co],
        spec: ToolSpec,
        parameters: Checked,
        reader: Reader,
        *,
        needs: Needs = NOTHING,
        home: Home | None = None,
    ) -> None:
        """`home` is the plugin that a worker has to load for it; None: the function is this one."""
        self.home = home
        self.function = function
        self.spec = spec
        self.parameters = parameters
        self.reader = reader
        self.needs = needs
        self.kind = _kind(function)

    @property
    def target(self) -> str:
        """Where a worker finds it: `module:name`; empty where it cannot, as it was made inside a function."""
        module = getattr(self.function, "__module__", "")
        name = getattr(self.function, "__qualname__", "<")
        return "" if "<" in name or "." in name or module == "__main__" else f"{module}:{name}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself: nothing is validated, no deadline is set."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<skill {self.spec.name}>"


AnySkill: TypeAlias = Skill[..., object]


def _kind(function: Callable[..., object]) -> Kind:
    if inspect.isasyncgenfunction(function):
        return Kind.STEPS
    return Kind.ASYNC if inspect.iscoroutinefunction(function) else Kind.SYNC


@overload
def skill(function: Callable[P, R_co], /) -> Skill[P, R_co]: ...


@overload
def skill(
    *,
    name: str = ...,
    examples: Examples = ...,
    labels: Iterable[Label] = ...,
    roles: Mapping[str, ArgumentRole] | None = ...,
    fields: Mapping[str, FieldLabel] | None = ...,
    idempotent: bool = ...,
    timeout_s: float = ...,
    answer: str = ...,
    choices: Choices | None = ...,
    reader: Reader | None = ...,
    level: Level = ...,
    secrets: Iterable[str] = ...,
    hosts: Iterable[str] = ...,
    concurrency: int = ...,
) -> Callable[[Callable[P, R_co]], Skill[P, R_co]]: ...


def skill(
    function: Callable[P, R_co] | None = None,
    /,
    *,
    name: str = "",
    examples: Examples = (),
    labels: Iterable[Label] = (),
    roles: Mapping[str, ArgumentRole] | None = None,
    fields: Mapping[str, FieldLabel] | None = None,
    idempotent: bool = False,
    timeout_s: float = 30.0,
    answer: str = "",
    choices: Choices | None = None,
    reader: Reader | None = None,
    level: Level = Level.IN_PROCESS,
    secrets: Iterable[str] = (),
    hosts: Iterable[str] = (),
    concurrency: int = 0,
) -> Skill[P, R_co] | Callable[[Callable[P, R_co]], Skill[P, R_co]]:
    """Make a skill of a typed function: sync, async, or an async generator that yields `Progress` and last its result.

    Its docstring describes it, and in `Args:` its arguments; those of type `ToolContext` and `Secrets` are filled in.

    Args:
        function: the function.
        name: how the model calls it, if not by the function's name. Letters, digits, `_` and `-`, at most 64.
        examples: (utterance, arguments) pairs; weak models are routed and prompted by them.
        labels: what a policy must know: reads private data, returns untrusted content, sends out, destroys.
        roles: what each argument decides, for a policy.
        fields: what of its result is trusted or secret, by path (`*.id`).
        idempotent: True where calling again with the same arguments does no harm.
        timeout_s: seconds one call may take.
        answer: how a weak model's answer is put together: a `str.format` template over the arguments and `result`.
        choices: reads the values that arguments may take out of a request; see `Choices`.
        reader: reads more than choices, and goes before them; see `Reader`.
        level: the least wall that is to be around it; see `Level`.
        secrets: names of the secrets that it is given.
        hosts: the hosts that it talks to, such as `api.example.org` or `*.example.org`.
        concurrency: calls that may run at once; 0: as many as the host allows.

    Raises:
        SkillDefinitionError: it cannot be a skill; the message says what to change.
    """
    options = _Options(name, tuple(labels), roles or {}, fields or {}, idempotent, timeout_s, answer)
    needs = Needs(level=level, secrets=tuple(secrets), hosts=tuple(hosts), concurrency=concurrency)

    def decorate(function: Callable[P, R_co]) -> Skill[P, R_co]:
        return _made(function, options, examples, reader or PlainReader(choices), needs)

    return decorate if function is None else decorate(function)


class _Options(NamedTuple):
    name: str
    labels: tuple[Label, ...]
    roles: Mapping[str, ArgumentRole]
    fields: Mapping[str, FieldLabel]
    idempotent: bool
    timeout_s: float
    answer: str


def _made(
    function: Callable[P, R_co], options: _Options, examples: Examples, reader: Reader, needs: Needs
) -> Skill[P, R_co]:
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
