"""Messages, headers, events and seals: all that is pure."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_skills.mcp import headers, wire
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.seals import Seal
from agent_skills.mcp.sse import Event, EventSplitter


def test_messages_come_back_as_they_went():
    for message in (
        wire.request(1, "tools/list", {"cursor": "x"}),
        wire.notification("notifications/initialized"),
        wire.response("a", {"tools": []}),
        wire.failure(None, wire.Code.PARSE, "no", {"why": 1}),
    ):
        assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{", wire.Code.PARSE),
        (b"\xff", wire.Code.PARSE),
        (b"[]", wire.Code.INVALID_REQUEST),
        (b'{"id": 1}', wire.Code.INVALID_REQUEST),
        (b'{"id": 1.5, "method": "x"}', wire.Code.INVALID_REQUEST),
        (b'{"id": 1, "method": "x", "params": [1]}', wire.Code.INVALID_REQUEST),
        (b'{"params": ' + b'{"a":' * 100_000, wire.Code.PARSE),
    ],
)
def test_what_is_no_message_is_refused(data, code):
    with pytest.raises(McpRefusedError) as caught:
        wire.decode(data)
    assert caught.value.code == code


def test_a_message_knows_what_it_is():
    assert wire.request(0, "ping").is_request
    assert not wire.notification("ping").is_request
    assert wire.response(1, {}).is_response
    assert wire.decode(b'{"method": "x", "id": null}').is_request is False


@given(st.text())
def test_any_text_survives_a_header(text):
    wrapped = headers.wrap(text)
    assert wrapped.isascii()
    assert "\n" not in wrapped
    assert "\r" not in wrapped
    assert headers.unwrap(wrapped) == text


@pytest.mark.parametrize("broken", ["=?base64?QQ?=", "=?base64?Q*==?=", "=?base64?/w==?=", "=?base64?QR==?="])
def test_broken_base64_is_nothing(broken):
    assert headers.unwrap(broken) is None


def schema(**properties):
    return {"type": "object", "properties": properties}


def test_arguments_that_are_repeated_in_headers():
    tool = schema(
        region={"type": "string", "x-mcp-header": "Region"},
        deep=schema(count={"type": "integer", "x-mcp-header": "Count"}),
        plain={"type": "string"},
    )
    mirrored = headers.annotations(tool)
    assert mirrored == {("region",): "Region", ("deep", "count"): "Count"}
    assert headers.custom(mirrored, {"region": "Zürich", "deep": {"count": 3}}) == {
        "Mcp-Param-Region": "=?base64?WsO8cmljaA==?=",
        "Mcp-Param-Count": "3",
    }
    assert headers.custom(mirrored, {"region": None, "deep": 1}) == {}


@pytest.mark.parametrize(
    "tool",
    [
        schema(a={"type": "string", "x-mcp-header": ""}),
        schema(a={"type": "number", "x-mcp-header": "A"}),
        schema(a={"type": ["string"], "x-mcp-header": "A"}),
        schema(a={"type": "string", "x-mcp-header": "A B"}),
        schema(a={"type": "string", "x-mcp-header": 5}),
        schema(a={"type": "string", "x-mcp-header": "A"}, b={"type": "string", "x-mcp-header": "a"}),
        schema(a={"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
        {"type": "object", "x-mcp-header": "A"},
        {"type": "object", "anyOf": [schema(a={"type": "string", "x-mcp-header": "A"})]},
    ],
)
def test_annotations_that_break_the_rules(tool):
    with pytest.raises(ValueError, match="x-mcp-header"):
        headers.annotations(tool)


ASKED = wire.request(
    1, "tools/call", {"name": "t", "_meta": {wire.VERSION_KEY: "2026-07-28"}, "arguments": {"n": 42}}
)
SAID = {headers.VERSION: "2026-07-28", headers.METHOD: "tools/call", headers.NAME: "t"}


def test_a_head_that_says_what_the_body_says_passes():
    headers.check_standard(ASKED, SAID)
    assert headers.standard(ASKED) == SAID


@pytest.mark.parametrize(
    "change",
    [
        {headers.VERSION: "2025-11-25"},
        {headers.METHOD: "Tools/Call"},
        {headers.NAME: "other"},
        {headers.NAME: "=?base64?broken?="},
    ],
)
def test_a_head_that_says_something_else_is_refused(change):
    with pytest.raises(McpRefusedError) as caught:
        headers.check_standard(ASKED, {**SAID, **change})
    assert caught.value.code == wire.Code.HEADER_MISMATCH


@pytest.mark.parametrize(
    ("said", "passes"), [("42", True), ("42.0", True), ("43", False), (None, False), ("=?base64?*?=", False)]
)
def test_a_header_of_an_argument_must_agree(said, passes):
    tool = schema(n={"type": "integer", "x-mcp-header": "N"})
    given_headers = {} if said is None else {"mcp-param-n": said}
    if passes:
        headers.check_custom(tool, {"n": 42}, given_headers)
    else:
        with pytest.raises(McpRefusedError):
            headers.check_custom(tool, {"n": 42}, given_headers)


STREAM = b': hello\r\nid: 1\nretry: 500\ndata:\n\ndata: {"a":\r\ndata: 1}\r\n\r\nid: 2\ndata: x\n\nid: 3\n\n'
EVENTS = [Event(b"", "1", 500), Event(b'{"a":\n1}', "1"), Event(b"x", "2")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_the_bytes_come(cuts):
    splitter = EventSplitter()
    edges = [0, *sorted(cuts), len(STREAM)]
    got = [event for start, end in pairwise(edges) for event in splitter.feed(STREAM[start:end])]
    assert got == EVENTS


def test_an_event_that_is_too_large_is_refused():
    splitter = EventSplitter(max_bytes=100)
    with pytest.raises(ValueError, match="over 100 bytes"):
        splitter.feed(b"data: " + b"x" * 200)


def test_sealed_state_opens_for_the_same_request_alone():
    seal = Seal(b"k" * 32)
    params = {"name": "t", "arguments": {"a": 1}}
    text = seal.close({"step": 1}, "tools/call", params)
    answered = {**params, "inputResponses": {"x": {}}, "requestState": text, "_meta": {}}
    assert seal.open(text, "tools/call", answered) == {"step": 1}
    for broken in (
        (text + "x", "tools/call", params),
        (text[:-4] + "AAAA", "tools/call", params),
        ("", "tools/call", params),
        ("é", "tools/call", params),
        (text, "prompts/get", params),
        (text, "tools/call", {"name": "t", "arguments": {"a": 2}}),
    ):
        with pytest.raises(McpRefusedError, match="requestState"):
            seal.open(*broken)
    with pytest.raises(McpRefusedError):
        Seal(b"o" * 32).open(text, "tools/call", params)
