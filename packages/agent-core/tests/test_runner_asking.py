"""A tool whose call is a question to a person: the run waits, and the reply is the result."""

import pytest

from agent_core import events as ev
from agent_core.policy import ALLOWED, Decision, Verdict
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, ScriptedTools, answer, call
from agent_core.tools import ToolSpec

SPEC = ToolSpec(
    name="ask_person",
    description="Ask a person.",
    parameters={"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    asks="question",
)


class Asking(ScriptedTools):
    def spec(self, name):
        return SPEC if name == "ask_person" else super().spec(name)


def asking():
    return Asking({"ask_person": lambda **_: "nobody was asked"})


async def test_a_question_waits_for_a_person_whose_reply_is_the_result(runner_of):
    journal = InMemoryJournal()
    script = [call("ask_person", {"question": " Which colour? "}), answer("blue it is")]
    runner = runner_of(script, asking(), journal=journal)
    state = await runner.run("paint the wall")
    assert state.phase is Phase.AWAITING
    (one,) = state.calls.values()
    assert one.question == "Which colour?"
    assert runner.adapters.tools.ran == []
    assert (await runner.drive(state.run_id)).phase is Phase.AWAITING
    given = ev.InputGiven(at=9.0, tool_call_id=one.call.tool_call_id, by="ann", text="blue")
    await runner.send(state.run_id, given)
    state = await runner.drive(state.run_id)
    assert (state.phase, state.answer) == (Phase.DONE, "blue it is")
    assert runner.adapters.model.requests[1].messages[-1].tool_results[0].content == "blue"
    assert runner.adapters.tools.ran == []


@pytest.mark.parametrize("arguments", [{}, {"question": ""}, {"question": 5}])
async def test_a_question_that_is_none_goes_to_the_tool_which_says_so(runner_of, arguments):
    runner = runner_of([call("ask_person", arguments), answer("ok")], asking())
    assert (await runner.run("go")).phase is Phase.DONE
    assert len(runner.adapters.tools.ran) == 1


async def test_policy_stands_before_a_question(runner_of):
    def policy(_state, _spec, _call):
        return Decision(verdict=Verdict.DENY, reason="people sleep") if _spec.asks else ALLOWED

    runner = runner_of([call("ask_person", {"question": "Which?"}), answer("ok")], asking(), policy=policy)
    state = await runner.run("go")
    assert state.phase is Phase.DONE
    assert "people sleep" in runner.adapters.model.requests[1].messages[-1].tool_results[0].content
