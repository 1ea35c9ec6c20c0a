"""Skill folders as skills: listed by description, read on demand, scripts in a real sandbox alone."""

import os

import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin.skill_folders import SkillFoldersPlugin
from agent_skills.folders import find_folders
from agent_skills.isolation.levels import probe
from agent_skills.needs import Level
from agent_skills.programs.sandboxed import Programs

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
SCRIPT = (
    "import sys, pathlib\nprint(sys.argv[1:], sys.stdin.read())\npathlib.Path('out.txt').write_text('made')\n"
)


@pytest.fixture
def folders(tmp_path):
    tmp_path.chmod(0o755)
    folder = tmp_path / "skills" / "pdf-forms"
    (folder / "references").mkdir(parents=True)
    (folder / "scripts").mkdir()
    (folder / "SKILL.md").write_text(
        "---\nname: pdf-forms\ndescription: Fill in PDF forms.\nallowed-tools: Bash\n---\nFirst read MORE.md.\n"
    )
    (folder / "references" / "MORE.md").write_text("More.")
    (folder / "scripts" / "fill.py").write_text(SCRIPT)
    (folder / "scripts" / "say.sh").write_text("echo said $1; cat /etc/shadow\n")
    (folder / "scripts" / "tool.bin").write_text("x")
    (folder / "scripts" / "out.sh").symlink_to("/etc/passwd")
    (tmp_path / "secret.txt").write_text("secret")
    found, broken = find_folders([tmp_path / "skills"])
    assert broken == {}
    return found


async def call(plugin, name, **arguments):
    registry = SkillRegistry()
    registry.register("folders", plugin)
    made = ToolCall(tool_call_id="1", name=name, arguments=arguments)
    return await SkillRunner(registry).run(made, CONTEXT)


def test_a_model_sees_names_and_descriptions_alone(folders):
    registry = SkillRegistry()
    assert registry.register("folders", SkillFoldersPlugin(folders)) == ("skill_pdf-forms",)
    spec = registry.get("skill_pdf-forms").spec
    assert spec.description.startswith("Fill in PDF forms.")
    assert "First read" not in spec.description
    assert spec.labels == ()  # what it says it may use grants nothing
    untrusted = SkillFoldersPlugin(folders, trusted=False)
    registry = SkillRegistry()
    registry.register("folders", untrusted)
    assert registry.get("skill_pdf-forms").spec.labels == (Label.RETURNS_UNTRUSTED,)


async def test_the_body_and_the_files_come_on_demand(folders):
    plugin = SkillFoldersPlugin(folders)
    body = await call(plugin, "skill_pdf-forms")
    assert body.content.startswith("First read MORE.md.")
    assert "references/MORE.md" in body.content
    assert (await call(plugin, "skill_pdf-forms", path="references/MORE.md")).content == "More."
    for path in ("../../secret.txt", "/etc/passwd", "scripts/out.sh", "none.md"):
        assert (await call(plugin, "skill_pdf-forms", path=path)).is_error
    assert (await call(plugin, "skill_script", skill_name="x", script="y")).error == "unknown_tool"


async def test_scripts_run_in_a_sandbox(folders, tmp_path):
    levels = await probe()
    if not levels.has(Level.SANDBOX):
        pytest.skip(f"no sandbox here: {levels.missing(Level.SANDBOX)}")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    if os.geteuid() == 0:
        os.chown(workspace, 1000, 1000)
    plugin = SkillFoldersPlugin(folders, Programs(levels), workspace=workspace)
    result = await call(
        plugin,
        "skill_script",
        skill_name="pdf-forms",
        script="scripts/fill.py",
        arguments=["a b"],
        stdin="in",
    )
    assert result.content == "['a b'] in\n"
    assert (workspace / "out.txt").read_text() == "made"
    said = await call(plugin, "skill_script", skill_name="skill_pdf-forms", script="say.sh", arguments=["hi"])
    assert said.content.startswith("said hi\n")
    assert "root:" not in said.content
    for script, error in (
        ("tool.bin", "not_runnable"),
        ("out.sh", "not_a_file"),
        ("../SKILL.md", "path_refused"),
        ("none.py", "not_found"),
    ):
        refused = await call(plugin, "skill_script", skill_name="pdf-forms", script=script)
        assert refused.error == error, (script, refused)
    assert (await call(plugin, "skill_script", skill_name="other", script="x.py")).error == "not_found"
