"""The format of skill folders: what is read, what a strict reader refuses, and what is refused by all."""

import pytest

from agent_skills.errors import SkillError
from agent_skills.folders import find_folders, read_folder, validate

GOOD = "---\nname: pdf-forms\ndescription: Fill in PDF forms.\n---\n\n# Forms\n\nRead references/MORE.md.\n"


def write(tmp_path, text, name="pdf-forms"):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "SKILL.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def with_head(*lines, name="pdf-forms", description="Fill in PDF forms."):
    head = [f"name: {name}"] if name is not None else []
    head += [f"description: {description}"] if description is not None else []
    return "\n".join(["---", *head, *lines, "---", "", "Body."])


def test_a_good_folder(tmp_path):
    skill = read_folder(write(tmp_path, GOOD))
    assert (skill.name, skill.description) == ("pdf-forms", "Fill in PDF forms.")
    assert skill.body == "# Forms\n\nRead references/MORE.md."
    assert skill.problems == ()


def test_all_fields(tmp_path):
    head = (
        "license: MIT",
        "compatibility: Linux",
        "allowed-tools: Read Bash(git:*)",
        "metadata:",
        "  author: us",
    )
    folder = write(tmp_path, with_head(*head))
    skill = read_folder(folder)
    assert (skill.license, skill.compatibility, skill.metadata) == ("MIT", "Linux", {"author": "us"})
    assert skill.allowed_tools == ("Read", "Bash(git:*)")
    assert validate(folder) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (with_head(name="PDF-Forms"), "lower case"),
        (with_head(name="-pdf"), "single hyphens"),
        (with_head(name="pdf-"), "single hyphens"),
        (with_head(name="pdf--forms"), "single hyphens"),
        (with_head(name="pdf_forms"), "single hyphens"),
        (with_head(name="pdf forms"), "single hyphens"),
        (with_head(name="x" * 65), "over 64"),
        (with_head(name="other"), "not that of the folder"),
        (with_head(name=None), "no name"),
        (with_head("name: 5", name=None), "'name' must be text"),
        (with_head(description="d" * 1_025), "over 1,024"),
        (with_head(f"compatibility: {'c' * 501}"), "over 500"),
        (with_head("author: us"), "unknown field 'author'"),
        (with_head("metadata: text"), "texts to texts"),
        (with_head("metadata:", "  version: 1.0"), "texts to texts"),
        (with_head("allowed-tools: [Read, Bash]"), "spaces between"),
        (with_head() + "\nline" * 501, "over 500 lines"),
    ],
)
def test_what_only_a_strict_reader_refuses(tmp_path, text, problem):
    folder = write(tmp_path, text)
    assert any(problem in one for one in validate(folder)), validate(folder)
    assert read_folder(folder).body.startswith("Body.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not begin with a head"),
        ("# Only a body", "does not begin with a head"),
        ("---\nname: x\n", "does not begin with a head"),
        ("---\n- a\n- b\n---\n", "no YAML mapping"),
        ("---\nname: [\n---\n", "no YAML mapping"),
        ("---\nname: !!python/object/apply:os.system [ls]\ndescription: x\n---\n", "no YAML mapping"),
        (with_head(description=None), "no description"),
        (with_head(description='""'), "no description"),
        (b"---\nname: \xff\n---\n", "no UTF-8"),
        ("x" * 200_001, "over 200,000 bytes"),
        ("---\n" + "a: b\n" * 5_000 + "---\n", "over 16,000"),
    ],
)
def test_what_nobody_can_read(tmp_path, text, problem):
    folder = write(tmp_path, text)
    with pytest.raises(SkillError, match=problem):
        read_folder(folder)
    assert problem in validate(folder)[0]


def test_a_head_that_unfolds_is_harmless(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(9)]
    problems = validate(write(tmp_path, with_head(*lines)))
    assert "unknown field 'a'" in problems


def test_line_ends_and_marks_of_other_systems(tmp_path):
    folder = write(tmp_path, ("\ufeff" + GOOD).replace("\n", "\r\n"))
    assert read_folder(folder).body.startswith("# Forms")


def test_a_link_is_no_skill(tmp_path):
    folder = tmp_path / "linked"
    folder.mkdir()
    (tmp_path / "target.md").write_text(GOOD)
    (folder / "SKILL.md").symlink_to(tmp_path / "target.md")
    with pytest.raises(SkillError, match="no regular file"):
        read_folder(folder)


def test_folders_are_found_and_broken_ones_named(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    write(one, GOOD)
    write(one, "nonsense", "broken")
    write(two, GOOD)
    (two / "empty").mkdir()
    found, broken = find_folders([one, two, tmp_path / "none"])
    assert [skill.name for skill in found] == ["pdf-forms"]
    assert sorted(folder.name for folder in broken) == ["broken", "pdf-forms"]
    assert "taken" in broken[two / "pdf-forms"]
