"""What the documentation shows is true: its programs run, its links lead somewhere, its generated pages are current.

Every block of Python in a README or in `docs/` is run by itself, in an empty folder. One that names a `local:` model
runs the embedded one and carries the marker `model`. A comment `# prints: TEXT` in a block is checked.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_api.grants import grants_of
from agent_api.settings import PluginSettings, load

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
TIMEOUT_S = 120


def name(path):
    return path.relative_to(ROOT).as_posix()


def blocks():
    for page in PAGES:
        found = re.findall(
            r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for number, code in enumerate(found, start=1):
            marks = [pytest.mark.model] if "local:" in code else []
            yield pytest.param(code, id=f"{name(page)}-{number}", marks=marks)


def run(arguments, folder):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("code", [*blocks()])
def test_a_block_of_python_runs_as_pasted(code, tmp_path):
    done = run(["-W", "error", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"# prints: (.*)", code):
        assert expected in done.stdout


def test_the_settings_of_the_how_to_are_settings(tmp_path, monkeypatch):
    page = ROOT / "docs" / "how-to" / "set-what-runs-may-do.md"
    found = re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.delenv("AGENT_CONFIG", raising=False)
    for text in found:
        (tmp_path / "agent.toml").write_text(text)
        chosen = load(folder=tmp_path)
        grants_of(chosen.loaded_plugins() or PluginSettings(), ())
    assert found


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_example_runs(example, tmp_path):
    done = run(["-W", "error", str(example)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readme_of_the_core_and_its_example_give_their_answers(tmp_path):
    done = run([str(ROOT / "examples" / "embed_core.py")], tmp_path)
    assert done.stdout.splitlines()[-1] == "The longest word is 'surprisingly'."


def test_the_generated_pages_are_what_the_code_says():
    done = run([str(ROOT / "docs" / "generate.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
