import pytest

from agent_core.tools import ArgumentRole, FieldLabel, Label, ToolExample
from agent_skills import Level, Needs, Progress, Secrets, Skill, skill
from agent_skills.errors import SkillDefinitionError
from agent_skills.reading import PlainReader
from agent_skills.skill import Kind


def test_the_function_says_it_all():
    @skill
    def add(a: int, b: int = 1) -> int:
        """Add two numbers.

        Args:
            a: The first.
        """
        return a + b

    assert isinstance(add, Skill)
    assert add(2, b=3) == 5
    assert (add.spec.name, add.spec.description) == ("add", "Add two numbers.")
    assert add.spec.parameters["properties"]["a"]["description"] == "The first."
    assert (add.spec.idempotent, add.spec.timeout_s, add.spec.labels) == (False, 30.0, ())
    assert add.kind is Kind.SYNC
    assert repr(add) == "<skill add>"


def test_options_travel_into_the_spec():
    @skill(
        name="other-name",
        examples=[("two", {"a": 2})],
        labels=[Label.SENDS_OUT],
        roles={"a": ArgumentRole.CONTENT},
        fields={"*.id": FieldLabel.TRUSTED},
        idempotent=True,
        timeout_s=2,
        answer="{a}: {result}",
        choices=lambda _text: {"a": ["1"]},
    )
    async def add(a: int) -> int:
        """Add one."""
        return a + 1

    spec = add.spec
    assert add.kind is Kind.ASYNC
    assert (spec.name, spec.timeout_s, spec.idempotent, spec.answer) == (
        "other-name",
        2,
        True,
        "{a}: {result}",
    )
    assert spec.labels == (Label.SENDS_OUT,)
    assert spec.roles == {"a": ArgumentRole.CONTENT}
    assert spec.fields == {"*.id": FieldLabel.TRUSTED}
    assert spec.examples == (ToolExample(utterance="two", arguments={"a": 2}),)
    assert add.reader.read("x").values == {"a": ["1"]}


def test_a_role_must_be_of_an_argument_that_is_there():
    with pytest.raises(SkillDefinitionError, match=r"no argument 'b' to give a role to; there are \['a'\]"):
        skill(roles={"b": ArgumentRole.CONTENT})(fine)


def test_a_reader_goes_before_choices():
    reader = PlainReader()
    made = skill(reader=reader, choices=lambda _text: {"a": ["1"]})(fine)
    assert made.reader is reader
    assert made.reader.read("x").values == {}


def test_methods_are_skills_too():
    class Counter:
        def count(self, by: int) -> int:
            """Count."""
            return by + 1

    counted = skill(Counter().count)
    assert list(counted.spec.parameters["properties"]) == ["by"]
    assert counted(1) == 2


def fine(a: int) -> int:
    """Do it."""
    return a


def silent(a: int) -> int:
    return a


def generator(a: int):
    """Do it in parts."""
    yield a


async def in_steps(a: int):
    """Do it in parts."""
    yield Progress(text="half")
    yield a


async def with_secrets(a: int, keys: Secrets):
    """Do it."""


@pytest.mark.parametrize(
    ("function", "options", "problem"),
    [
        (fine, {"name": "a.b"}, "its name must be"),
        (fine, {"name": "x" * 65}, "its name must be"),
        (lambda a: a, {}, "its name must be"),
        (silent, {}, "docstring"),
        (generator, {}, "generator"),
        (fine, {"secrets": ["key"]}, "no parameter for them"),
        (with_secrets, {"secrets": ["K-1"]}, "no names of secrets"),
        (fine, {"hosts": ["https://x.org"]}, "no hosts"),
        (fine, {"concurrency": -1}, "concurrency is -1"),
        (fine, {"level": Level.INTERPRETED}, "SANDBOX"),
        (fine, {"timeout_s": 0}, "timeout_s"),
        (fine, {"examples": [("x", {"a": "y"})]}, "its example 'x' is wrong"),
        (fine, {"examples": [("x", {"b": 1})]}, "its example 'x' is wrong"),
    ],
)
def test_what_cannot_be_a_skill_is_refused(function, options, problem):
    with pytest.raises(SkillDefinitionError, match=problem):
        skill(**options)(function)


def test_needs_are_declared_and_are_no_arguments():
    made = skill(
        secrets=["api_key"], hosts=["*.example.org"], concurrency=2, level=Level.SANDBOX, idempotent=True
    )(with_secrets)
    assert made.needs == Needs(
        level=Level.SANDBOX, secrets=("api_key",), hosts=("*.example.org",), concurrency=2
    )
    assert list(made.spec.parameters["properties"]) == ["a"]
    assert made.parameters.secrets_name == "keys"


def test_an_async_generator_goes_in_steps_and_a_worker_finds_what_stands_at_the_top_of_a_module():
    assert skill(in_steps).kind is Kind.STEPS
    assert skill(in_steps).target == f"{__name__}:in_steps"

    def inner(a: int) -> int:
        """Do it."""
        return a

    assert not skill(inner).target
