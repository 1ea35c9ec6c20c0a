"""The tool `plan`: what a model is offered, and how its call is read."""

import pytest

from agent_core import proposal
from agent_core.messages import assistant
from agent_core.proposal import Proposal
from agent_core.testing import tool
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolOffer


def message(arguments, *others, malformed=""):
    first = ToolCall(tool_call_id="p", name="plan", arguments=arguments, malformed=malformed)
    return calls(first, *others)


def read(one):
    return proposal.read(one, {"find", "send", "plan"}.__contains__, {})


def test_a_plan_is_read():
    one = message(
        {
            "calls": [
                {"id": "a", "tool": "find", "arguments": {"q": "x"}},
                {"id": "b", "tool": "send", "arguments": {"what": {"$ref": "a"}}, "after": ["a"]},
                {"id": "c", "tool": "find"},
            ]
        }
    )
    assert read(one) == Proposal(
        calls=(
            ToolCall(tool_call_id="a", name="find", arguments={"q": "x"}),
            ToolCall(tool_call_id="b", name="send", arguments={"what": {"$ref": "a"}}),
            ToolCall(tool_call_id="c", name="find", arguments={}),
        ),
        after={"b": ("a",)},
    )


@pytest.mark.parametrize(
    "one", [assistant("hi"), calls(ToolCall(tool_call_id="x", name="find", arguments={}))]
)
def test_other_messages_propose_none(one):
    assert read(one) == ""


FIND = {"id": "a", "tool": "find", "arguments": {}}
FAULTS = {
    "not alone": (
        message({"calls": [FIND]}, ToolCall(tool_call_id="x", name="find", arguments={})),
        "only call",
    ),
    "no object": (message({}, malformed="[1"), "no JSON object"),
    "no calls": (message({}), "does not fit its schema: Object missing required field `calls`"),
    "an empty list": (message({"calls": []}), "has no calls"),
    "a list of something else": (message({"calls": ["find"]}), "at `$.calls[0]`"),
    "a field that is none": (message({"calls": [{**FIND, "depends": []}]}), "unknown field `depends`"),
    "arguments that are no object": (message({"calls": [{**FIND, "arguments": "q"}]}), "got `str`"),
    "an unknown tool": (message({"calls": [{**FIND, "tool": "fly"}]}), "of 'fly', which is no tool"),
    "a plan in a plan": (message({"calls": [{**FIND, "tool": "plan"}]}), "of 'plan', which is no tool"),
    "an empty id": (message({"calls": [{**FIND, "id": ""}]}), "is empty or over 64"),
    "a long id": (message({"calls": [{**FIND, "id": "x" * 65}]}), "is empty or over 64"),
    "two of one id": (message({"calls": [FIND, FIND]}), "same id"),
    "a stranger": (message({"calls": [{**FIND, "after": ["z"]}]}), "refers to 'z'"),
}


@pytest.mark.parametrize(("one", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_the_model_reads_what_is_wrong(one, reason):
    assert reason in read(one)


def test_the_tool_is_offered_behind_the_others_and_names_them():
    offers = [ToolOffer(spec=tool(name)) for name in ("find", "plan", "send")]
    *others, plan = proposal.with_plan(offers)
    assert [offer.spec.name for offer in others] == ["find", "send"]
    call = plan.spec.parameters["properties"]["calls"]["items"]
    assert (plan.spec.name, call["properties"]["tool"]) == ("plan", {"enum": ["find", "send"]})


def test_without_tools_there_is_nothing_to_plan():
    assert proposal.with_plan(()) == ()
