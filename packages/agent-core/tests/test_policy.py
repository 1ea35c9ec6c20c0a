"""The default policy."""

import pytest

from agent_core.policy import ALLOWED, Verdict, ask_before_destroying
from agent_core.state import RunState
from agent_core.tools import Label, ToolCall, ToolSpec


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ((), Verdict.ALLOW),
        ((Label.READS_PRIVATE, Label.SENDS_OUT, Label.RETURNS_UNTRUSTED), Verdict.ALLOW),
        ((Label.DESTROYS,), Verdict.ASK),
        ((Label.READS_PRIVATE, Label.DESTROYS), Verdict.ASK),
    ],
)
def test_only_what_destroys_is_asked_for(labels, verdict):
    spec = ToolSpec(name="t", description="", parameters={}, labels=labels)
    call = ToolCall(tool_call_id="c", name="t", arguments={})
    decision = ask_before_destroying(RunState(run_id="r"), spec, call)
    assert decision.verdict is verdict
    assert ("t destroys" in decision.reason) is (verdict is Verdict.ASK)
    assert ALLOWED.verdict is Verdict.ALLOW
