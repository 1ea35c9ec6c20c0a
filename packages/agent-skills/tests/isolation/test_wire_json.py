"""The worker's own JSON says what `json` says, with the C parts and without."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_skills.isolation import launching

PLACE = Path(launching.__file__).parent / "inside" / "wire_json.py"


def load():
    spec = importlib.util.spec_from_file_location("wire_json_tried", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quick():
    return load()


@pytest.fixture(params=["quick", "fallback"])
def wire_json(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.setitem(sys.modules, "_json", None)
    module = load()
    assert hasattr(module, "json") == (request.param == "fallback")
    return module


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_it_says_and_reads_what_json_does(quick, value):
    text = json.dumps(value, separators=(",", ":"))
    assert quick.dumps(value) == text
    assert quick.loads(text.encode() + b"\n") == value


def test_what_is_no_json_is_refused(wire_json):
    circle = []
    circle.append(circle)
    for value, error in ((object(), TypeError), ({"a": {1}}, TypeError), (circle, ValueError)):
        with pytest.raises(error):
            wire_json.dumps(value)
    assert wire_json.dumps([1]) == "[1]"
    assert wire_json.loads(b'{"a":"\xc3\xa9"}\n') == {"a": "\u00e9"}
