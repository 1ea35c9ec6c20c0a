"""What a person reads before they approve a call cannot be painted over, turned round or hidden by who wrote it."""

import pytest

from agent_api.cli.terminal import TerminalView, conclude
from agent_api.cli.visible import visible, visible_call
from agent_core.chat import TextDelta
from agent_core.planning import ASKED, CallState
from agent_core.state import Phase, RunState
from agent_core.tools import ToolCall

COMMANDS = [
    "\x1b[2K\rnothing to see",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b2J",
    "\b\b\b",
    "a\u202egpj.exe",
    "\u2066x\u2069",
    "a\u200bb",
    "a\u2028b",
    "\U000e0041",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_no_text_commands_a_terminal(text, capsys):
    shown = visible(text)
    assert shown.isprintable()
    assert "\\u" in shown
    view = TerminalView(as_json=False)
    view.on_delta("r", TextDelta(text))
    assert capsys.readouterr().out == shown
    asked = ToolCall(tool_call_id="c", name="mail", arguments={"to": text, text: 1})
    call = CallState(call=asked, status=ASKED, question=f"may it? {text}")
    conclude(RunState(run_id="run_1", phase=Phase.AWAITING, calls={"c": call}))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_what_people_write_stays_as_it_is():
    for text in ("Grüße, \u4f60\u597d\n\tzwei", "\U0001f469\u200d\U0001f4bb", "plain"):
        assert visible(text) == text


def test_a_host_that_looks_like_another_is_named_as_it_is_asked_for():
    lines = visible_call("fetch", {"url": "https://www.p\u0430ypal.example/x"}).splitlines()
    assert lines[1].strip() == "www.p\u0430ypal.example is www.xn--pypal-4ve.example"
    assert visible_call("fetch", {"url": "https://www.paypal.example"}).count("\n") == 0
    assert "\\u200d" in visible_call("fetch", {"url": "https://pay\u200dpal.example"})
