"""What the modes share: the view of a turn and unique ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import ModelProfile, ToolMode
from agent_core.messages import Message, Text, system, user
from agent_core.tool_modes import TOOL_MODES, TurnView
from agent_core.tool_modes.turn import with_unique_ids
from agent_core.tools import ToolCall


def test_every_mode_has_a_function():
    assert set(TOOL_MODES) == set(ToolMode)


@pytest.mark.parametrize(
    ("instructions", "preface", "head"),
    [("", (), None), ("a", (), "a"), ("", ("b",), "b"), ("a", ("b", "", "c"), "a\n\nb\n\nc")],
)
def test_instructions_and_preface_are_one_system_message(instructions, preface, head):
    view = TurnView(
        messages=(user("hi"),), offers=(), profile=ModelProfile(name="m"), turn=1, instructions=instructions
    )
    expected = (user("hi"),) if head is None else (system(head), user("hi"))
    assert view.conversation(*preface) == expected


def called(*ids):
    parts = (ToolCall(tool_call_id=key, name="t", arguments={}) for key in ids)
    return Message(role="assistant", parts=(Text(text="so"), *parts))


@given(st.lists(st.sampled_from(["", "a", "b", "call_7_1", "call_7_2", "call_7_3"]), max_size=6))
def test_ids_are_never_empty_and_never_shared_and_good_ones_stay(ids):
    message = with_unique_ids(called(*ids), 7)
    given_ids = [call.tool_call_id for call in message.tool_calls]
    assert len(set(given_ids)) == len(ids)
    assert all(given_ids)
    assert {key for key in ids if key} <= set(given_ids)
    assert message.text == "so"


def test_a_message_with_good_ids_is_left_alone():
    message = called("a", "b")
    assert with_unique_ids(message, 7) is message
