"""The README's examples run as they stand, in order, in one namespace."""

import re
import sys
from pathlib import Path

import pytest

import agent_skills
import agent_skills.testing

PACKAGE = Path(__file__).parents[1]
DICE = PACKAGE.parents[1] / "examples" / "skill-dice" / "src"


def test_the_examples_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert capsys.readouterr().out == "9.6\n"
    assert agent_skills.testing.check_skill(namespace["roll_dice"]).content.startswith("[")


def test_the_smallest_plugin_is_small_and_works(monkeypatch):
    if not DICE.is_dir():
        pytest.skip("the examples are no part of this distribution")
    monkeypatch.syspath_prepend(str(DICE))
    import skill_dice

    registry = agent_skills.SkillRegistry()
    assert registry.register("dice", skill_dice) == ("roll_dice",)
    agent_skills.testing.check_skill(skill_dice.roll_dice)
    assert len((DICE / "skill_dice" / "__init__.py").read_text().splitlines()) <= 20
    sys.modules.pop("skill_dice")


def test_exports_are_sorted_and_there():
    assert agent_skills.__all__ == sorted(agent_skills.__all__)
    assert all(hasattr(agent_skills, name) for name in agent_skills.__all__)
