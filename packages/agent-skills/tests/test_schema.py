"""Schemas and validation of arguments."""

import datetime as dt
import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from agent_core.ports import ToolContext
from agent_skills.errors import InvalidArgumentsError, SkillDefinitionError
from agent_skills.schema import Parameters, normalise


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct):
    """A point."""

    x: int
    title: str = "here"
    default: int = 0


class Tree(msgspec.Struct):
    value: int
    children: "list[Tree]" = []


class Square(msgspec.Struct, tag=True):
    side: int


class Circle(msgspec.Struct, tag=True):
    radius: int


def parameters_of(function, **descriptions):
    return Parameters(function, descriptions, "tested")


def schema_of(kind):
    def function(value): ...

    function.__annotations__ = {"value": kind}
    return parameters_of(function).schema["properties"]["value"]


def test_the_root_is_a_closed_object_with_descriptions():
    def add(a: int, b: Annotated[int, msgspec.Meta(description="own", ge=0)] = 3) -> int: ...

    assert parameters_of(add, a="The first.", b="not this").schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "minimum": 0, "description": "own"},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_a_function_without_arguments_has_an_empty_closed_object():
    def nothing() -> None: ...

    assert parameters_of(nothing).schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_references_are_written_out_and_properties_may_be_called_like_keywords():
    assert schema_of(Point) == {
        "type": "object",
        "description": "A point.",
        "properties": {"x": {"type": "integer"}, "title": {"type": "string"}, "default": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    assert schema_of(list[Colour]) == {"type": "array", "items": {"type": "string", "enum": ["blue", "red"]}}


def test_a_type_that_contains_itself_keeps_its_reference():
    def plant(tree: Tree) -> None: ...

    schema = parameters_of(plant).schema
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["additionalProperties"] is False
    assert (
        parameters_of(plant)
        .parse({"tree": {"value": 1, "children": [{"value": 2}]}})["tree"]
        .children[0]
        .value
        == 2
    )


def test_unions_are_plain():
    schema = schema_of(Square | Circle)
    assert set(schema) == {"anyOf"}
    assert [inner["properties"]["type"] for inner in schema["anyOf"]] == [
        {"type": "string", "enum": ["Square"]},
        {"type": "string", "enum": ["Circle"]},
    ]


KINDS = [
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (str, {"type": "string"}),
    (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (dt.date, {"type": "string", "format": "date"}),
    (Any, {}),
]


@pytest.mark.parametrize(("kind", "schema"), KINDS)
def test_types_have_schemas(kind, schema):
    assert schema_of(kind) == schema


def test_schemas_are_valid_and_stable():
    jsonschema = pytest.importorskip("jsonschema")
    kinds = (*[kind for kind, _ in KINDS], Point, Tree, Square | Circle, tuple[int, str], set[int], bytes)
    for kind in kinds:

        def function(value): ...

        function.__annotations__ = {"value": kind}
        schema = parameters_of(function).schema
        jsonschema.Draft202012Validator.check_schema(schema)
        assert msgspec.json.encode(schema) == msgspec.json.encode(parameters_of(function).schema)


def test_what_is_normal_stays_as_it_is():
    def add(a: int, point: Point, tree: Tree | None = None) -> int: ...

    schema = parameters_of(add).schema
    assert normalise(schema) == schema


def add(a: int, b: int = 3, c: int | None = 4, *, names: list[str] | None = None) -> None: ...


PARSED = [
    ({"a": 1}, {"a": 1}),
    ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ({"a": "1"}, {"a": 1}),
    ({"a": 1.0}, {"a": 1}),
    ({"a": 1, "b": None}, {"a": 1}),
    ({"a": 1, "c": None}, {"a": 1, "c": None}),
    ({"a": "1", "b": None, "c": None}, {"a": 1, "c": None}),
    ({"a": 1, "names": ["x"]}, {"a": 1, "names": ["x"]}),
]


@pytest.mark.parametrize(("given", "parsed"), PARSED)
def test_arguments_are_parsed(given, parsed):
    assert parameters_of(add).parse(given) == parsed


REFUSED = [
    ({}, "$", "missing required field `a`"),
    ({"a": "x"}, "$.a", "Expected `int`"),
    ({"a": None}, "$.a", "null"),
    ({"a": 1.5}, "$.a", "Expected `int`"),
    ({"a": 1, "d": 1}, "$", "unknown field `d`"),
    ({"a": 1, "names": ["x", 1]}, "$.names[1]", "Expected `str`"),
    ({"a": 1, "names": "x"}, "$.names", "Expected `array | null`"),
]


@pytest.mark.parametrize(("given", "path", "reason"), REFUSED)
def test_arguments_are_refused_with_path_and_reason(given, path, reason):
    with pytest.raises(InvalidArgumentsError) as caught:
        parameters_of(add).parse(given)
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_a_text_that_may_be_a_number_or_a_text_stays_a_text():
    def either(value: int | str) -> None: ...

    assert parameters_of(either).parse({"value": "5"}) == {"value": "5"}


def test_any_default_will_do():
    marker = object()

    def odd(values: list[int] = [1, 2], thing: int = marker) -> None: ...  # noqa: B006

    assert parameters_of(odd).parse({}) == {}


def test_the_context_is_no_argument():
    def act(a: int, context: ToolContext) -> None: ...

    parameters = parameters_of(act, context="The context.")
    assert parameters.context_name == "context"
    assert list(parameters.schema["properties"]) == ["a"]
    with pytest.raises(InvalidArgumentsError):
        parameters.parse({"a": 1, "context": {}})


def positional(a: int, /) -> None: ...


def many(*a: int) -> None: ...


def options(**a: int) -> None: ...


def untyped(a) -> None: ...


def unresolved(a: "Nowhere") -> None: ...  # noqa: F821


def no_json(a: Parameters | int) -> None: ...


@pytest.mark.parametrize("function", [positional, many, options, untyped, unresolved, no_json])
def test_signatures_that_json_cannot_fill_are_refused(function):
    with pytest.raises(SkillDefinitionError, match="cannot be a skill"):
        parameters_of(function)


def test_a_description_of_nothing_is_refused():
    with pytest.raises(SkillDefinitionError, match="'z'"):
        parameters_of(add, z="There is none.")
