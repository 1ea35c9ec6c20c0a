"""The journal's encoding: every event survives it, and nothing but an event comes out."""

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.codec import SCHEMA_VERSION, decode, encode
from agent_core.errors import CodecError
from agent_core.limits import Limits, Spent
from agent_core.messages import File, FinishReason, Image, Message, Opaque, Reasoning, Text, Usage
from agent_core.tools import FieldLabel, Label, ToolCall, ToolResult

# A tag, once released, is never changed or reused: this list only grows.
TAGS = {
    "AnswerAccepted": "answer.accepted",
    "AnswerRevised": "answer.revised",
    "ApprovalDenied": "approval.denied",
    "ApprovalGranted": "approval.granted",
    "ApprovalRequested": "approval.requested",
    "ContextHydrated": "context.hydrated",
    "InputGiven": "input.given",
    "InputRequested": "input.requested",
    "LimitReached": "limit.reached",
    "ModelAnswered": "model.answered",
    "ModelFailed": "model.failed",
    "OutcomeStored": "outcome.stored",
    "PlanProposed": "plan.proposed",
    "RunDelegated": "run.delegated",
    "ResultsAccepted": "results.accepted",
    "ResultsRetried": "results.retried",
    "ResultsRevised": "results.revised",
    "RunCancelled": "run.cancelled",
    "RunEscalated": "run.escalated",
    "RunFailed": "run.failed",
    "RunStarted": "run.started",
    "ToolFailed": "tool.failed",
    "ToolReturned": "tool.returned",
    "ToolStarted": "tool.started",
    "ToolsCalled": "tools.called",
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**40)
times = st.floats(0, 1e12, allow_nan=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cached_input_tokens=counts,
    cache_write_tokens=counts,
    reasoning_tokens=counts,
    cost_usd=st.none() | st.floats(0, 1e6),
)
attachments = st.lists(
    st.builds(Image, data=st.binary(max_size=9), media_type=texts)
    | st.builds(File, url=texts, name=texts)
    | st.builds(Opaque, origin=texts, item=json_objects),
    max_size=2,
).map(tuple)
results = st.builds(
    ToolResult,
    attachments=attachments,
    tool_call_id=texts,
    content=texts,
    error=texts,
    retryable=st.booleans(),
    labels=st.lists(st.sampled_from(Label), max_size=2).map(tuple),
)
calls = st.builds(
    ToolCall, tool_call_id=texts, name=texts, arguments=json_objects, malformed=texts, namespace=texts
)
parts = st.builds(Text, text=texts) | st.builds(Reasoning, text=texts, signature=texts) | calls | results
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    parts=st.lists(parts, max_size=3).map(tuple),
)
some_texts = st.lists(texts, max_size=3).map(tuple)

FIELDS = {
    "at": times,
    "input": messages,
    "unknown": st.none(),
    "parts": st.lists(parts, max_size=3).map(tuple),
    "fields": st.dictionaries(texts, st.sampled_from(FieldLabel), max_size=2),
    "spent": st.none() | st.builds(Spent, turns=counts, tool_calls=counts, usage=usages),
    "retryable": st.booleans(),
    "labels": st.lists(st.sampled_from(Label), max_size=2).map(tuple),
    "read_before": st.lists(st.sampled_from(Label), max_size=2).map(tuple),
    "attachments": attachments,
    "messages": st.lists(messages, max_size=2).map(tuple),
    "usage": usages,
    "finish_reason": st.sampled_from(FinishReason),
    "limits": st.builds(Limits, turns=st.none() | counts, cost_usd=st.none() | st.floats(0, 9)),
    "after": st.dictionaries(texts, some_texts, max_size=2),
    "answer_schema": st.none() | json_objects,
    "arguments": st.none() | json_objects,
    "calls": st.lists(calls, max_size=2).map(tuple),
    "tool_call_ids": some_texts,
}

any_event = st.one_of(
    st.builds(event_type, **{name: FIELDS.get(name, texts) for name in event_type.__struct_fields__})
    for event_type in get_args(ev.Event)
)


@given(results)
def test_a_result_is_the_same_after_it_was_recorded(result):
    assert decode(encode(ev.tool_back(result, at=1.0))).result == result


@settings(max_examples=400, deadline=None)
@given(any_event)
def test_every_event_survives_its_encoding(event):
    body = encode(event)
    assert decode(body) == event
    assert b"\n" not in body
    assert json.loads(body)["type"] == ev.event_type(event)


@pytest.mark.parametrize("event_type", get_args(ev.Event), ids=lambda cls: cls.__name__)
def test_a_sample_of_every_event_survives_its_encoding(event_type, samples):
    assert decode(encode(samples[event_type])) == samples[event_type]


@pytest.mark.parametrize("event_type", get_args(ev.Event), ids=lambda cls: cls.__name__)
def test_a_field_of_a_newer_version_survives_a_round_trip(event_type, samples):
    newer = {**json.loads(encode(samples[event_type])), "newer": {"deep": [1]}}
    event = decode(json.dumps(newer).encode())
    assert replace(event, unknown=None) == samples[event_type]
    assert json.loads(encode(event)) == newer


def test_fields_of_a_newer_version_survive_wherever_they_stand():
    line = (
        b'{"type":"tools.called","at":1.0,"parts":[{"type":"text","text":"Now","weight":2},'
        b'{"type":"call","id":"a","name":"t","arguments":{"x":1},"hint":{"why":["b"]}}],"usage":{"input":3,"video":4}}'
    )
    event = decode(line)
    assert event.parts == (Text(text="Now"), ToolCall(tool_call_id="a", name="t", arguments={"x": 1}))
    assert json.loads(encode(event)) == json.loads(line)
    shorter = replace(
        event, parts=event.parts[:1], at=2.0
    )  # changed by this version: what is left keeps its own
    assert json.loads(encode(shorter)) == {
        "type": "tools.called",
        "at": 2.0,
        "parts": [{"type": "text", "text": "Now", "weight": 2}],
        "usage": {"input": 3, "video": 4},
    }


def test_an_unknown_field_of_what_is_no_more_there_is_left_out():
    event = decode(b'{"type":"run.failed","at":1.0,"code":"x","reason":"y","newer":{"a":1}}')
    assert json.loads(encode(replace(event, unknown={"reason": {"0": "z"}})))["reason"] == "y"


def test_how_a_line_is_written_is_no_unknown_field():
    spaced = b'{ "at": 1.0, "type": "run.cancelled", "by": "a new user", "reason": "" }'
    assert decode(spaced).by == "a new user"
    assert decode(encode(decode(spaced))) == decode(spaced)


def test_tags_are_stable():
    assert {cls.__name__: ev.event_type(cls) for cls in get_args(ev.Event)} == TAGS
    assert ev.event_type(ev.ResultsAccepted(at=1.0)) == "results.accepted"


def test_defaults_are_left_out_of_the_journal():
    assert encode(ev.ResultsAccepted(at=1.0)) == b'{"type":"results.accepted","at":1.0}'


GARBAGE = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[1]",
    "no tag": b'{"at":1.0}',
    "an unknown tag": b'{"type":"run.imagined","at":1.0}',
    "a tag of another type": b'{"type":1,"at":1.0}',
    "a field of the wrong type": b'{"type":"results.accepted","at":"now"}',
    "no time": b'{"type":"results.accepted","at":null}',
    "a missing field": b'{"type":"run.cancelled","at":1.0}',
    "two documents": b'{"type":"results.accepted","at":1.0}{}',
    "bytes that are no UTF-8": b'{"type":"run.cancelled","at":1.0,"by":"\xff"}',
    "half a surrogate pair": b'{"type":"run.cancelled","at":1.0,"by":"\\ud800"}',
    "nested too deep": b'{"type":"results.accepted","at":1.0,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_a_codec_error(body):
    with pytest.raises(CodecError, match=f"version {SCHEMA_VERSION}"):
        decode(body)


@settings(max_examples=300, deadline=None)
@given(any_event, st.data())
def test_a_damaged_event_is_a_codec_error_or_an_event(event, data):
    body = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (bytes(body), bytes(body[: data.draw(st.integers(0, len(body)))])):
        try:
            assert isinstance(decode(damaged), get_args(ev.Event))
        except CodecError as error:
            assert error.retryable is False  # noqa: PT017  # either outcome is right; no other exception is


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_a_codec_error(body):
    with pytest.raises(CodecError):
        decode(body)
