"""What a skill is, and the `@skill` decorator, which makes one of a typed function (`making`).

Runs nothing: `runner` does.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Generic, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from agent_core.json_types import JsonObject
from agent_core.tools import ArgumentRole, FieldLabel, Label, ToolSpec
from agent_skills.needs import NOTHING, Level, Needs
from agent_skills.reading import Choices, PlainReader, Reader

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

Examples: TypeAlias = Iterable[tuple[str, JsonObject]]
"""Utterances of people, each with the arguments that it should lead to."""


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
    options = Options(name, tuple(labels), roles or {}, fields or {}, idempotent, timeout_s, answer)
    needs = Needs(level=level, secrets=tuple(secrets), hosts=tuple(hosts), concurrency=concurrency)

    def decorate(function: Callable[P, R_co]) -> Skill[P, R_co]:
        return _made(function, options, examples, reader or PlainReader(choices), needs)

    return decorate if function is None else decorate(function)


class Options(NamedTuple):
    """What is said of a skill beside its function."""

    name: str
    labels: tuple[Label, ...]
    roles: Mapping[str, ArgumentRole]
    fields: Mapping[str, FieldLabel]
    idempotent: bool
    timeout_s: float
    answer: str


def _made(
    function: Callable[P, R_co], options: Options, examples: Examples, reader: Reader, needs: Needs
) -> Skill[P, R_co]:
    from agent_skills.making import make  # noqa: PLC0415 - only who makes skills reads signatures

    return make(function, options, examples, reader, needs)
