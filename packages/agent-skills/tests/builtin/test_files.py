import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin import FilesPlugin
from agent_skills.errors import PluginRefusedError
from agent_skills.testing import check_skill
from agent_skills.workspace import WorkspaceSettings

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


@pytest.fixture
def root(tmp_path):
    for path in (
        "notes.txt",
        "letter.txt",
        "logs/app.log",
        "logs/web.log",
        "docs/report.md",
        "docs/old/report-2.md",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {path}")
    (tmp_path / "nothing").mkdir()
    return tmp_path


@pytest.fixture
def registry(root):
    registry = SkillRegistry()
    registry.register("files", FilesPlugin(WorkspaceSettings(folder=root, max_read_bytes=100)))
    return registry


async def call(registry, name, **arguments):
    return await SkillRunner(registry).run(
        ToolCall(tool_call_id="c", name=name, arguments=arguments), CONTEXT
    )


async def test_a_folder_is_listed(registry):
    listed = await call(registry, "files_list")
    assert listed.content == "docs/\nletter.txt (18 bytes)\nlogs/\nnotes.txt (17 bytes)\nnothing/"
    assert listed.labels == (Label.READS_PRIVATE,)
    assert (await call(registry, "files_list", path="logs")).content.startswith("app.log (")
    assert (await call(registry, "files_list", path="nothing")).content == "The folder is empty."


async def test_a_file_is_read(registry, root):
    assert (await call(registry, "files_read", path="logs/app.log")).content == "text of logs/app.log"
    (root / "notes.txt").write_text("")
    assert (await call(registry, "files_read", path="notes.txt")).content == "The file is empty."
    (root / "notes.txt").write_text("x" * 1_234)
    assert (await call(registry, "files_read", path="notes.txt")).content == (
        f"{'x' * 100}\n[cut: the file has 1,234 bytes; read on with start=100]"
    )


async def test_refusals_are_results(registry):
    result = await call(registry, "files_read", path="../x")
    assert (result.error, result.labels) == ("path_refused", (Label.READS_PRIVATE,))


def values(registry, name, text):
    return registry.get(name).reader.read(text).values["path"]


FILES = [
    ("read notes.txt", "notes.txt"),
    ("show me logs/web.log please", "logs/web.log"),
    ("what does app.log say", "logs/app.log"),
    ("open the letter", "letter.txt"),
    ("show me my notes", "notes.txt"),
    ("what's in the report?", "docs/report.md"),
    ("REPORT.MD", "docs/report.md"),
    ("read missing.txt", "missing.txt"),
]


@pytest.mark.parametrize(("text", "best"), FILES)
def test_files_for_a_request(registry, text, best):
    assert values(registry, "files_read", text)[0] == best


FOLDERS = [
    ("list my files", "."),
    ("ls logs", "logs"),
    ("what is under docs/old?", "docs/old"),
    ("my doc folder", "docs"),
]


@pytest.mark.parametrize(("text", "best"), FOLDERS)
def test_folders_for_a_request(registry, text, best):
    paths = values(registry, "files_list", text)
    assert paths[0] == best
    assert "." in paths


def test_at_most_fifty_choices_and_none_in_an_empty_folder(registry, root, tmp_path_factory):
    for number in range(200):
        (root / f"many-{number}.txt").write_text("")
    assert len(values(registry, "files_read", "many")) == 50
    empty = SkillRegistry()
    empty.register("files", FilesPlugin(WorkspaceSettings(folder=tmp_path_factory.mktemp("empty"))))
    assert empty.get("files_read").reader.read("read it") is None
    assert values(empty, "files_list", "list it") == ["."]


def test_both_are_good_skills(registry):
    assert len(check_skill(registry.get("files_list")).content) > 10
    check_skill(registry.get("files_read"), run=False)
    assert all(len(skill.spec.examples) >= 15 for skill in registry.skills())


def test_without_a_folder_the_plugin_is_refused(tmp_path):
    with pytest.raises(PluginRefusedError, match="is no folder"):
        SkillRegistry().register("files", FilesPlugin(WorkspaceSettings(folder=tmp_path / "missing")))
