"""Which built-in skills are there, by settings and parts."""

import pytest

from agent_skills import SkillRegistry
from agent_skills.builtin import BuiltinParts, BuiltinSettings, register_builtins
from agent_skills.errors import PluginRefusedError
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.workspace import WorkspaceSettings


def test_by_itself_little_is_there():
    registry = SkillRegistry()
    register_builtins(registry)
    assert list(registry.plugins) == ["calculator", "clock"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shell": True}, "needs a sandbox"),
        ({"python": "sandbox"}, "needs a sandbox"),
        ({"python": "snippets"}, "need an interpreter"),
    ],
)
def test_code_of_others_is_never_run_without_a_wall(tmp_path, settings, words):
    settings = BuiltinSettings(workspace=WorkspaceSettings(folder=tmp_path), **settings)
    with pytest.raises(PluginRefusedError, match=words):
        register_builtins(SkillRegistry(), settings)


def test_what_is_asked_for_is_there(tmp_path, caplog):
    good, broken = tmp_path / "good", tmp_path / "broken"
    good.mkdir()
    broken.mkdir()
    (good / "SKILL.md").write_text("---\nname: good\ndescription: Good.\n---\nBody\n")
    (broken / "SKILL.md").write_text("nothing")
    registry = SkillRegistry()
    settings = BuiltinSettings(skill_folders=(tmp_path,), python="snippets")
    register_builtins(registry, settings, parts=BuiltinParts(snippets=MontyInterpreter()))
    assert registry.get("skill_good") is not None
    assert registry.get("python") is not None
    assert "broken is left out" in caplog.text
