import ast
import inspect
import subprocess
import sys

import agent_gateway


def test_the_exports_are_there() -> None:
    """That they are sorted is ruff's to check (RUF022)."""
    assert all(hasattr(agent_gateway, name) for name in agent_gateway.__all__)


def test_importing_loads_no_client_and_no_engine() -> None:
    code = "import sys, agent_gateway; print([m for m in ('httpx', 'xllamacpp', 'http.client') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_are_where_the_type_checkers_are_told_they_are() -> None:
    told = {
        alias.name: (node.module or "").removeprefix("agent_gateway.")
        for node in ast.walk(ast.parse(inspect.getsource(agent_gateway)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agent_gateway.")
        for alias in node.names
    }
    assert told == agent_gateway._HOME
    assert set(told) | {"__version__"} == set(agent_gateway.__all__)


def test_importing_loads_nothing_that_is_not_asked_for() -> None:
    code = "import sys, agent_gateway; print([m for m in sys.modules if m.startswith(('agent_', 'msgspec', 'anyio'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['agent_gateway']"
