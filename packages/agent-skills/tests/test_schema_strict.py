"""Strict forms: what vendors ask of them holds for every schema that has one, and what they lose is said in words."""

import datetime as dt
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from agent_skills.schema import Parameters
from agent_skills.schema_strict import strict

FORBIDDEN = {
    "default", "title", "oneOf", "allOf", "prefixItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "contentEncoding",
    "discriminator", "minProperties", "maxProperties",
}  # fmt: skip


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct, tag="point"):
    x: float
    y: float = 0.0


class Line(msgspec.Struct, tag="line"):
    points: list[Point]
    colour: Colour = Colour.RED


class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []


def everything(
    count: Annotated[int, Meta(ge=1, le=9)],
    shape: Point | Line,
    name: Annotated[str, Meta(min_length=2, pattern="^a", description="A name.")] = "ab",
    when: dt.datetime | None = None,
    ident: uuid.UUID | None = None,
    pair: tuple[int, str] = (1, ""),
    kinds: set[Literal["a", "b"]] | None = None,
    data: bytes = b"",
    *,
    deep: bool = False,
) -> None: ...


def tree(root: Tree) -> None: ...


def parameters_of(function):
    return Parameters(function, {}, "f")


def walk(node):
    if isinstance(node, dict):
        yield node
        for key, inner in node.items():
            if key in {"properties", "$defs"}:
                for one in inner.values():
                    yield from walk(one)
            else:
                yield from walk(inner)
    elif isinstance(node, list):
        for one in node:
            yield from walk(one)


@pytest.mark.parametrize("function", [everything, tree])
def test_nothing_is_left_that_strict_modes_refuse(function):
    made = strict(parameters_of(function).schema)
    for node in walk(made):
        assert not FORBIDDEN & set(node)
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
        if "$ref" in node:
            assert set(node) <= {"$ref", "description"}
    assert made["type"] == "object"


def test_what_is_lost_is_said_in_words():
    made = strict(parameters_of(everything).schema)["properties"]
    assert made["count"]["description"] == "at least 1; at most 9"
    assert made["name"]["description"] == "A name. at least 2 characters; matches ^a"
    assert made["name"]["anyOf"][-1] == {"type": "null"}
    assert made["pair"]["anyOf"][0]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert made["pair"]["description"] == "at least 2 items; at most 2 items"


def test_null_stands_for_left_out_on_the_way_back():
    parsed = parameters_of(everything).parse(
        {
            "count": 1,
            "shape": {"type": "point", "x": 1, "y": 2},
            "name": None,
            "pair": None,
            "deep": None,
            "when": None,
        }
    )
    assert set(parsed) == {"count", "shape", "when"}
    assert parsed["when"] is None


def open_map(a: dict[str, int]) -> None: ...


def anything(a: Any) -> None: ...


def inner_map(a: list[dict[str, str]]) -> None: ...


@pytest.mark.parametrize("function", [open_map, anything, inner_map])
def test_what_is_open_has_no_strict_form(function):
    assert strict(parameters_of(function).schema) is None


KINDS = st.recursive(
    st.sampled_from([int, str, float, bool, Colour, dt.date, Literal["a", 1], Point]),
    lambda inner: st.one_of(
        inner.map(lambda kind: list[kind]),
        inner.map(lambda kind: kind | None),
        st.tuples(inner, inner).map(lambda pair: tuple[pair[0], pair[1]]),
    ),
    max_leaves=4,
)


@given(st.lists(st.tuples(KINDS, st.booleans()), max_size=4))
def test_every_closed_signature_has_a_strict_form(kinds):
    import inspect

    def f() -> None: ...

    names = [f"a{n}" for n in range(len(kinds))]
    f.__annotations__ = dict(zip(names, (kind for kind, _ in kinds), strict=True))
    f.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None if optional else inspect.Parameter.empty
            )
            for name, (_, optional) in zip(names, kinds, strict=True)
        ]
    )
    made = strict(parameters_of(f).schema)
    assert made is not None
    assert not any(FORBIDDEN & set(node) for node in walk(made))


def test_bytes_are_the_same_each_time():
    assert msgspec.json.encode(strict(parameters_of(everything).schema)) == msgspec.json.encode(
        strict(parameters_of(everything).schema)
    )
