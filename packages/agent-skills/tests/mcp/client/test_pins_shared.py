"""Two processes with one file of pins: what one approves the other sees, and neither loses what the other wrote."""

from agent_skills.mcp.client.pins import Pins, Standing

ECHO = {"name": "echo", "description": "Say it again", "inputSchema": {"type": "object"}}
CHANGED = {**ECHO, "description": "Say it louder"}


def standing(pins, tool):
    (judged,) = pins.judge("desk", "Desk", [tool])
    return judged.standing


def test_what_another_approved_counts_here(tmp_path):
    here, there = Pins(tmp_path / "pins.json"), Pins(tmp_path / "pins.json")
    assert standing(here, ECHO) is Standing.APPROVED
    assert standing(there, CHANGED) is Standing.QUARANTINED
    there.approve("desk", "Desk", there.judge("desk", "Desk", [CHANGED]))
    assert standing(here, CHANGED) is Standing.APPROVED
    here.judge("other", "Other", [ECHO])
    assert standing(there, CHANGED) is Standing.APPROVED
    assert "other" in (tmp_path / "pins.json").read_text()
