import pytest

from agent_core.tools import Label, ToolExample
from agent_skills import Skill, skill
from agent_skills.errors import SkillDefinitionError
from agent_skills.reading import PlainReader


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
    assert not add.is_async
    assert repr(add) == "<skill add>"


def test_options_travel_into_the_spec():
    @skill(
        name="other-name",
        examples=[("two", {"a": 2})],
        labels=[Label.SENDS_OUT],
        idempotent=True,
        timeout_s=2,
        answer="{a}: {result}",
        choices=lambda _text: {"a": ["1"]},
    )
    async def add(a: int) -> int:
        """Add one."""
        return a + 1

    spec = add.spec
    assert add.is_async
    assert (spec.name, spec.timeout_s, spec.idempotent, spec.answer) == (
        "other-name",
        2,
        True,
        "{a}: {result}",
    )
    assert spec.labels == (Label.SENDS_OUT,)
    assert spec.examples == (ToolExample(utterance="two", arguments={"a": 2}),)
    assert add.reader.read("x").values == {"a": ["1"]}


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


async def agenerator(a: int):
    """Do it in parts."""
    yield a


@pytest.mark.parametrize(
    ("function", "options", "problem"),
    [
        (fine, {"name": "a.b"}, "its name must be"),
        (fine, {"name": "x" * 65}, "its name must be"),
        (lambda a: a, {}, "its name must be"),
        (silent, {}, "docstring"),
        (generator, {}, "generator"),
        (agenerator, {}, "generator"),
        (fine, {"timeout_s": 0}, "timeout_s"),
        (fine, {"examples": [("x", {"a": "y"})]}, "its example 'x' is wrong"),
        (fine, {"examples": [("x", {"b": 1})]}, "its example 'x' is wrong"),
    ],
)
def test_what_cannot_be_a_skill_is_refused(function, options, problem):
    with pytest.raises(SkillDefinitionError, match=problem):
        skill(**options)(function)
