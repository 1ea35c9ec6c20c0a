"""References between results and arguments: what one is, what it stands for, where one leads nowhere."""

import pytest

from agent_core import references

RESULTS = {"a": '{"x": [{"y": 7}, "z"], "n": null}', "t": "just text", "l": "[1, [2, 3]]", "n": "42"}

VALUES = {
    "a whole text": ({"$ref": "t"}, "just text"),
    "a whole object": ({"$ref": "a"}, {"x": [{"y": 7}, "z"], "n": None}),
    "a number": ({"$ref": "n"}, 42),
    "a part": ({"$ref": "a", "path": "x.0.y"}, 7),
    "nothing is a value": ({"$ref": "a", "path": "n"}, None),
    "a place in a list": ({"$ref": "l", "path": "1.0"}, 2),
    "an empty path": ({"$ref": "t", "path": ""}, "just text"),
    "at any depth": ([{"deep": [{"$ref": "n"}]}], [{"deep": [42]}]),
    "beside other values": ({"u": {"$ref": "n"}, "v": [1, None]}, {"u": 42, "v": [1, None]}),
    "no reference": ({"path": "x.0"}, {"path": "x.0"}),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES.keys())
def test_a_value_is_filled_in(value, expected):
    arguments = {"v": value}
    assert references.fault(arguments) == ""
    assert references.missing(arguments, RESULTS) == ""
    assert references.filled(arguments, RESULTS) == {"v": expected}


NOWHERE = {
    "no such name": ({"$ref": "a", "path": "q"}, "no 'q', there are n, x."),
    "no names at all": ({"$ref": "e", "path": "q"}, "there are no names"),
    "no such place": ({"$ref": "l", "path": "2"}, "it is a list of 2"),
    "no place before the first": ({"$ref": "l", "path": "-1"}, "it is a list of 2"),
    "into a text": ({"$ref": "t", "path": "x"}, "it is no object and no list"),
    "an empty step": ({"$ref": "a", "path": "x..y"}, "no ''"),
}


@pytest.mark.parametrize(("value", "reason"), NOWHERE.values(), ids=NOWHERE.keys())
def test_a_reference_leads_nowhere(value, reason):
    assert reason in references.missing({"v": [value]}, {**RESULTS, "e": "{}"})


@pytest.mark.parametrize(
    "value",
    [{"$ref": 1}, {"$ref": None}, {"$ref": "a", "path": 0}, {"$ref": "a", "default": 1}],
    ids=str,
)
def test_a_malformed_reference_is_a_fault(value):
    assert references.fault({"v": {"w": value}}).startswith('a reference is {"$ref": call id}')


def nested(depth):
    value = "end"
    for _ in range(depth):
        value = {"v": value}
    return {"v": value}


def test_what_is_nested_too_deep_is_a_fault():
    assert references.fault(nested(references.MAX_DEPTH)) == ""
    assert references.fault(nested(references.MAX_DEPTH + 1)) == "arguments are nested deeper than 32"
    assert references.fault(nested(100_000)) != ""


def test_sources_are_named_once_in_reading_order():
    arguments = {"x": [{"$ref": "b"}, {"y": {"$ref": "a", "path": "p"}}], "z": {"$ref": "b", "path": "q"}}
    assert references.sources(arguments) == ("b", "a")


@pytest.mark.parametrize("content", ["", "text", "007", "{", "[" * 100_000])
def test_what_is_no_json_is_text(content):
    assert references.decoded(content) is content
