"""Bounds in a schema, and how many tools fit into one."""

import json

import jsonschema
import pytest

from agent_core.chat import Completion, JsonSchema, ModelProfile, SchemaLimits
from agent_core.messages import assistant, user
from agent_core.testing import tool
from agent_core.tool_modes import TurnView
from agent_core.tool_modes.call_schema import bounded, closed, size_bytes, written
from agent_core.tool_modes.constrained import constrained
from agent_core.tools import ToolOffer

LIMITS = SchemaLimits(string_chars=10, items=3)
TEXT = {"type": "string", "maxLength": 10, "minLength": 1}

CASES = {
    "a text": ({"type": "string"}, TEXT),
    "a text with a length of its own": (
        {"type": "string", "maxLength": 99},
        {"type": "string", "maxLength": 99, "minLength": 1},
    ),
    "a text that may be empty": (
        {"type": "string", "default": ""},
        {"type": "string", "default": "", "maxLength": 10},
    ),
    "a text that is always empty": (
        {"type": "string", "maxLength": 0},
        {"type": "string", "maxLength": 0, "minLength": 0},
    ),
    "one of some": ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    "a date": ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    "a number": ({"type": "integer"}, {"type": "integer"}),
    "a list": (
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": TEXT, "maxItems": 3},
    ),
    "either": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
    "an object": (
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False},
    ),
    "what is referred to": (
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "string"}}},
        {"$ref": "#/$defs/n", "$defs": {"n": TEXT}},
    ),
    "a property that is called properties": (
        {"type": "object", "properties": {"properties": {"type": "string"}}},
        {"type": "object", "properties": {"properties": TEXT}},
    ),
}


@pytest.mark.parametrize(("schema", "expected"), CASES.values(), ids=CASES.keys())
def test_bounds(schema, expected):
    before = json.dumps(schema)
    found = bounded(schema, LIMITS)
    assert found == expected
    assert json.dumps(schema) == before, "the tool's own schema stays as it is"
    jsonschema.Draft202012Validator.check_schema(found)


def test_a_closed_object():
    validator = jsonschema.Draft202012Validator(closed({"a": {"type": "integer"}}))
    assert validator.is_valid({"a": 1})
    assert not validator.is_valid({})
    assert not validator.is_valid({"a": 1, "b": 2})


def asked(offers, limits):
    profile = ModelProfile(name="m", schema_limits=limits)
    turn = constrained(TurnView(messages=(user("hi"),), offers=offers, profile=profile, turn=1))
    return turn, next(turn).request


OFFERS = tuple(ToolOffer(spec=tool(f"tool_{n}")) for n in range(9))


def test_as_many_tools_as_the_profile_allows():
    _, request = asked(OFFERS, SchemaLimits(tools=4))
    assert len(request.constraint.schema["anyOf"]) == 4 + 1
    assert "tool_3:" in request.messages[0].text
    assert "tool_4:" not in request.messages[0].text


def test_as_large_a_schema_as_the_profile_allows():
    _, all_of_them = asked(OFFERS, SchemaLimits())
    whole = size_bytes(all_of_them.constraint.schema)
    _, request = asked(OFFERS, SchemaLimits(size_bytes=whole - 1))
    assert len(request.constraint.schema["anyOf"]) == 8 + 1
    _, request = asked(OFFERS, SchemaLimits(size_bytes=1))
    assert len(request.constraint.schema["anyOf"]) == 1 + 1, "the best one stays"


def test_an_engine_that_wants_an_object_at_the_root():
    turn, request = asked(OFFERS[:1], SchemaLimits(union_root=False))
    assert isinstance(request.constraint, JsonSchema)
    assert request.constraint.schema["type"] == "object"
    assert '{"reply": ...}' in request.messages[0].text
    said = '{"reply": {"tool": "tool_0", "arguments": {}}}'
    assert jsonschema.Draft202012Validator(request.constraint.schema).is_valid(json.loads(said))
    with pytest.raises(StopIteration) as stop:
        turn.send(Completion(message=assistant(said), model="m"))
    assert stop.value.value.message.tool_calls[0].name == "tool_0"


def test_a_value_is_written_on_one_spaced_line_in_its_own_letters():
    value = {"city": "Łódź", "at": [1, 2.5, None, True], "none": {}}
    assert written(value) == '{"city": "Łódź", "at": [1, 2.5, null, true], "none": {}}'
