"""The rules of the house that a machine can check; `docs/how-to/develop.md` says why they are there."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
SOURCES = sorted(path for package in PACKAGES for path in (package / "src").rglob("*.py"))
READMES = [ROOT / "README.md", *(package / "README.md" for package in PACKAGES)]
FOLDERS = ("packages", "docs", "examples", "bench", "tests", "systemd", "changelog.d", ".ci")
SUFFIXES = {".py", ".md", ".toml", ".html", ".js", ".css", ".sh", ".service", ""}
TEXTS = sorted(
    path
    for path in (*ROOT.glob("*.*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
    if path.is_file()
    and path.suffix in SUFFIXES
    and not path.name.startswith(".")
    and not {"__pycache__", "node_modules", "dist"} & set(path.parts)
    and path != Path(__file__)
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_README_LINES = 100

# What is longer, and why. This list only shrinks: an entry that is short enough now must go.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "misc", "manager", "service", "handler"}
BANNED = {
    "an unfinished thought: finish it or leave it out": r"\b(TODO|FIXME|XXX|HACK|WIP)\b",
    "an address of a registry: it must work with any mirror": r"pypi\.org|pythonhosted\.org|registry\.npmjs",
    "a path of one machine": r"(?<![\w.~])/(work|root|home|Users)/",
    "a leftover of a merge": r"^(<{7}|={7}|>{7})( |$)",
}


def name(path):
    return path.relative_to(ROOT).as_posix()


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name(path)}::{node.name}", node.end_lineno - node.lineno + 1


def test_there_are_five_libraries():
    assert [package.name for package in PACKAGES] == [
        "agent-api",
        "agent-core",
        "agent-gateway",
        "agent-memory",
        "agent-skills",
    ]


def test_files_are_short():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert set(long) == set(LONG_FILES), f"over {MAX_FILE_LINES} lines, or on the list without need: {long}"


def test_functions_are_short():
    long = {key: lines for path in SOURCES for key, lines in functions(path) if lines > MAX_FUNCTION_LINES}
    assert set(long) == set(LONG_FUNCTIONS), (
        f"over {MAX_FUNCTION_LINES} lines, or on the list without need: {long}"
    )


def test_files_are_named_by_what_they_own():
    assert [name(path) for path in SOURCES if path.stem.strip("_") in FORBIDDEN_NAMES] == []


def test_every_module_says_what_it_owns():
    assert [
        name(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_library_is_typed_has_errors_and_a_readme(package):
    module = package / "src" / package.name.replace("-", "_")
    assert (module / "py.typed").is_file()
    assert (module / "errors.py").is_file()
    assert (package / "README.md").is_file()


def isort_style(word):
    """Constants, then classes, then the rest: the order that the linter keeps."""
    return (not word.isupper() or word.startswith("__"), not word[0].isupper(), word)


def exports(path):
    """What an `__init__` imports and does not use itself, so for others, and its `__all__`."""
    imported, used, listed = set(), set(), []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agent_"):
            imported |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Name):
            used.add(node.id)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
    return imported - used, listed


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=name)
def test_all_is_sorted_and_complete(path):
    imported, listed = exports(path)
    assert listed == sorted(listed, key=isort_style)
    assert len(set(listed)) == len(listed)
    assert imported - set(listed) == set(), "imported and not exported"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_there_is_one_version(package):
    assert version(package.name) == (ROOT / "VERSION").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("pattern", BANNED.values(), ids=BANNED.keys())
def test_no_file_holds(pattern):
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_a_readme_is_short(readme):
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES
