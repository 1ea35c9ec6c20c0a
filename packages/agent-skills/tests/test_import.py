"""What the import costs: nothing that is heavy is loaded before it is needed."""

import subprocess
import sys

HEAVY = {
    "pydantic",
    "mcp",
    "httpx",
    "asyncio",
    "anyio",
    "importlib.metadata",
    "pluggy",
    "ssl",
    "wasmtime",
    "pydantic_monty",
}


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, check=True
    )
    return set(done.stdout.decode().split())


def test_the_package_alone_loads_nothing_heavy():
    assert not HEAVY & (loaded_by("import agent_skills") - loaded_by(""))


def test_a_host_loads_neither_pydantic_nor_mcp():
    code = "from agent_skills import SkillRegistry, SkillRunner, find_plugins, load_plugins, probe"
    assert not {"pydantic", "mcp", "wasmtime", "pydantic_monty", "importlib.metadata"} & (
        loaded_by(code) - loaded_by("")
    )


def test_every_name_is_there_and_an_unknown_one_is_not():
    code = "import agent_skills as s\nfor n in s.__all__: getattr(s, n)\nassert not hasattr(s, 'nothing')"
    assert "agent_skills.runner" in loaded_by(code)
