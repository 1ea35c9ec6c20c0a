"""The skill `ask_person`, in a real run: it waits, and the reply is the result."""

from agent_core import events as ev
from agent_core.ports import ToolContext
from agent_core.runner import Runner
from agent_core.state import Phase
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, answer, call
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin.ask_person import AskPersonPlugin
from agent_skills.testing import check_skill

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


def registry():
    registry = SkillRegistry()
    registry.register("ask_person", AskPersonPlugin())
    return registry


async def test_a_run_waits_for_the_reply():
    model = ScriptedModel([call("ask_person", {"question": "Which colour?"}), answer("blue it is")])
    runner = Runner(model=model, tools=SkillRunner(registry()), journal=InMemoryJournal(), memory=NoMemory())
    state = await runner.run("paint the wall")
    assert state.phase is Phase.AWAITING
    (one,) = state.calls.values()
    assert one.question == "Which colour?"
    await runner.send(
        state.run_id, ev.InputGiven(at=1.0, tool_call_id=one.call.tool_call_id, by="ann", text="blue")
    )
    assert (await runner.drive(state.run_id)).answer == "blue it is"


async def test_outside_of_a_run_nobody_is_asked():
    check_skill(registry().get("ask_person"), run=False)
    made = ToolCall(tool_call_id="1", name="ask_person", arguments={"question": ""})
    result = await SkillRunner(registry()).run(made, CONTEXT)
    assert result.error == "not_asked"
