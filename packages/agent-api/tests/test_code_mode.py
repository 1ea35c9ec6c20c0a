"""Code mode by the setting: off, on with every call through the policy of the settings, and said where it cannot be."""

from importlib.util import find_spec

import pytest

from agent_api import builtin_skills
from agent_api.composition import Machine, open_skills, open_tenant
from agent_api.doctor import Verdict, examine
from agent_api.errors import SettingsError
from agent_api.settings import Settings
from agent_core.policy import Rules
from agent_core.policy import Verdict as Ruling
from agent_core.testing import ScriptedModel, answer, call
from agent_skills import probe

CODE = "found = await calculator(expression='6*7')\nfound"
needs_monty = pytest.mark.skipif(find_spec("pydantic_monty") is None, reason="Monty is not installed")


async def read(tmp_path, **settings):
    """What the model read of its snippet."""
    chosen = Settings(data_dir=str(tmp_path / "data"), plugins=False, **settings)
    model = ScriptedModel([call("run_code", {"code": CODE}), answer("done")])
    machine = Machine(settings=chosen, model=model, levels=await probe())
    async with open_tenant(machine, tmp_path / "data", str(tmp_path)) as agent:
        state = await agent.runner.run("what is it?")
    (result,) = (one for message in state.messages for one in message.tool_results)
    return result


async def test_it_is_off_unless_it_is_set(tmp_path):
    assert (await read(tmp_path)).error == "unknown_tool"


@needs_monty
async def test_a_snippet_calls_the_tools_under_the_policy_of_the_settings(tmp_path):
    assert "42" in (await read(tmp_path, code_mode=True)).content
    denied = Rules(tools={"calculator": Ruling.DENY})
    result = await read(tmp_path, code_mode=True, policy=denied)
    assert "42" not in result.content
    assert "the rule for calculator says so" in result.content


def test_without_its_library_it_is_a_wrong_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_skills, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"agent-skills\[monty\]"):
        open_skills(Settings(data_dir=str(tmp_path), workspace=str(tmp_path), plugins=False, code_mode=True))


async def test_the_doctor_says_so_too(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_skills, "find_spec", lambda _name: None)
    overrides = {"data_dir": str(tmp_path / "data"), "plugins": False, "code_mode": True, "workspace": "."}
    finding = {one.check: one async for one in examine(overrides)}["plugins"]
    assert (finding.verdict, "setting 'code_mode'" in finding.detail) == (Verdict.WRONG, True)
