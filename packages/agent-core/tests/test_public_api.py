"""What an application may rely on: the exported names, the error tree, a light import."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys

import pytest

import agent_core
from agent_core import errors

ERRORS = {
    name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, Exception)
}


def loaded_by(statement):
    """The modules that a fresh process has after `statement` and had not before."""
    code = f"import sys; before = set(sys.modules); {statement}; import json; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_import_is_light():
    loaded = loaded_by("import agent_core")
    heavy = {"anyio", "asyncio", "pydantic", "httpx", "lancedb", "litestar", "importlib.metadata", "sqlite3"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith(("agent_core", "msgspec"))} == {"agent_core"}


def test_a_name_brings_what_it_needs_and_no_more():
    assert "agent_core.runner" not in loaded_by("from agent_core import Message, ToolSpec, Limits")
    assert "msgspec" in loaded_by("from agent_core import Message")


def test_names_are_where_the_type_checkers_are_told_they_are():
    tree = ast.parse(inspect.getsource(agent_core))
    told = {
        alias.name: node.module.removeprefix("agent_core.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agent_core.")
        for alias in node.names
    }
    assert told == agent_core._HOME
    assert set(told) | {"__version__"} == set(agent_core.__all__)


def test_the_runner_needs_no_library_beyond_anyio_and_msgspec():
    loaded = {name.split(".")[0] for name in loaded_by("from agent_core import Runner")}
    foreign = loaded - set(sys.stdlib_module_names) - {"agent_core", "anyio", "msgspec", "typing_extensions"}
    assert {name for name in foreign if not name.startswith("_")} <= {"sniffio", "idna", "exceptiongroup"}


def test_what_only_a_run_needs_is_not_imported_with_the_runner():
    loaded = loaded_by("from agent_core import Runner")
    assert "anyio" in loaded, "the names below are those of its modules"
    assert loaded & {"anyio._core._synchronization", "anyio._core._tasks", "asyncio", "random"} == set()


def test_all_is_sorted_and_every_name_is_there():
    names = agent_core.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert len(set(agent_core.__all__)) == len(agent_core.__all__)
    for name in agent_core.__all__:
        assert getattr(agent_core, name) is not None


def test_no_exported_name_is_shadowed_by_a_module_of_that_name():
    modules = {module.name for module in pkgutil.iter_modules(agent_core.__path__)}
    assert modules & set(agent_core.__all__) == set()


def test_every_error_is_exported():
    assert set(ERRORS) <= set(agent_core.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Runer'"):
        _ = agent_core.Runer


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert agent_core.__version__ == version("agent-core")


def test_the_runner_is_the_runner():
    from agent_core.runner import Runner

    assert agent_core.Runner is Runner


def drawn_tree(text):
    """The tree in a docstring, as {class: parent}; a level is four columns."""
    parents, path = {}, []
    for line in text.splitlines():
        found = re.match(r"^([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawn_error_tree_is_the_tree():
    drawn = drawn_tree(errors.__doc__)
    assert drawn.pop("AgentError") is None
    assert drawn == {name: cls.__base__.__name__ for name, cls in ERRORS.items() if name != "AgentError"}


@pytest.mark.parametrize("cls", ERRORS.values(), ids=lambda cls: cls.__name__)
def test_every_error_is_below_the_root_and_says_whether_to_try_again(cls):
    assert issubclass(cls, errors.AgentError)
    assert cls.__name__.endswith("Error")
    assert isinstance(cls.retryable, bool)
    assert cls.__doc__


MESSAGES = {
    "where an illegal event is looked up": (errors.IllegalEventError("done", "run.started"), "TRANSITIONS"),
    "what to do with a stale one": (errors.StaleCompletionError("tool.returned", "c1"), "drop it"),
    "what to do at a conflict": (errors.JournalConflictError("r", 3, 5), "at event 5, not 3"),
    "which run": (errors.RunNotFoundError("run_x"), "'run_x'"),
    "which storage": (
        errors.JournalUnavailableError("/data", "disk full"),
        "/data cannot be used: disk full",
    ),
    "how long and how long at most": (errors.ContextTooLongError("m", 9_000, 8_000), "9,000 tokens"),
}


@pytest.mark.parametrize(("error", "text"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_says(error, text):
    assert text in str(error)
    assert vars(error), "it carries data"


def test_every_module_can_be_imported_and_says_what_it_owns():
    for module in pkgutil.walk_packages(agent_core.__path__, "agent_core."):
        if "conformance" not in module.name:
            assert importlib.import_module(module.name).__doc__
