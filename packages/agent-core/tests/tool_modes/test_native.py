"""Native mode: one question with the tools beside it."""

import pytest

from agent_core.chat import Completion, ModelProfile
from agent_core.messages import FinishReason, Usage, assistant, user
from agent_core.testing import call, tool
from agent_core.tool_modes import TurnView
from agent_core.tool_modes.native import native
from agent_core.tools import ToolOffer

OFFERS = (ToolOffer(spec=tool("one"), score=0.9), ToolOffer(spec=tool("two"), score=0.1))


def take(offers, message):
    view = TurnView(messages=(user("hi"),), offers=offers, profile=ModelProfile(name="m"), turn=4)
    turn = native(view)
    ask = next(turn)
    with pytest.raises(StopIteration) as stop:
        turn.send(
            Completion(
                message=message,
                model="m-1",
                usage=Usage(input_tokens=3),
                finish_reason=FinishReason.LENGTH,
            )
        )
    return ask, stop.value.value


def test_the_tools_are_offered_in_order():
    ask, _ = take(OFFERS, assistant("hello"))
    assert [spec.name for spec in ask.request.tools] == ["one", "two"]
    assert (ask.request.tool_choice, ask.request.constraint, ask.visible) == ("auto", None, True)


def test_without_tools_none_may_be_called():
    ask, _ = take((), assistant("hello"))
    assert (ask.request.tools, ask.request.tool_choice) == ((), "none")


def test_what_came_back_is_the_outcome():
    _, outcome = take(OFFERS, assistant("hello"))
    assert outcome.message == assistant("hello")
    assert (outcome.model, outcome.usage.input_tokens) == ("m-1", 3)
    assert outcome.finish_reason is FinishReason.LENGTH


def test_a_call_without_an_id_gets_one():
    _, outcome = take(OFFERS, call("one"))
    assert outcome.message.tool_calls[0].tool_call_id == "call_4_0"
