"""Plugins by the settings: which are loaded, what each is given, what is left out, and what the doctor says of it."""

import json
import sys

import pytest
from typer.testing import CliRunner

from agent_api.cli import app
from agent_api.composition import open_skills
from agent_api.doctor import Verdict, examine
from agent_api.errors import SettingsError
from agent_api.grants import gaps, grants_of
from agent_api.settings import PluginSettings, Settings, SkillSettings
from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import probe
from agent_skills.needs import Level

CODE = """
from agent_skills import Secrets, hookimpl, skill

@skill(secrets=["token"], hosts=["api.example.org"])
def tell_{name}(secrets: Secrets) -> str:
    '''Tell how long the secret is.'''
    return str(len(secrets["token"]))

@skill
def greet_{name}() -> str:
    '''Greet.'''
    return "hello from {name}"

@hookimpl
def register_skills(register):
    register(tell_{name})
    register(greet_{name})
"""
GRANT = {"secrets": ["token"], "hosts": ["*.example.org"]}


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """Two installed plugins, `alpha` and `beta`, of two skills each, and the settings of a fresh data folder."""
    site = tmp_path / "site"
    site.mkdir()
    for name in ("alpha", "beta"):
        (site / f"plugin_of_{name}.py").write_text(CODE.format(name=name))
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[agent.skills]\n{name} = plugin_of_{name}\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    monkeypatch.setenv("AGENT_SECRET_TOKEN", "12345")
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(folder, plugins, **settings):
    return open_skills(Settings(data_dir=str(folder / "data"), plugins=plugins, **settings))


def own(skills):
    """The skills of the two plugins."""
    return {spec.name for plugin, spec in skills.listed() if plugin in {"alpha", "beta"}}


async def called(skills, name):
    try:
        call = ToolCall(tool_call_id="1", name=name, arguments={})
        context = ToolContext(run_id="run", session_id="session", idempotency_key="key")
        return await skills.runner.run(call, context)
    finally:
        await skills.runner.aclose()


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        (True, {"alpha", "beta"}),
        (False, set()),
        (PluginSettings(allow=("alpha",)), {"alpha"}),
        (PluginSettings(deny=("alpha",)), {"beta"}),
        (PluginSettings(allow=("alpha",), deny=("alpha",)), set()),
        (PluginSettings(allow=()), set()),
    ],
)
def test_plugins_are_loaded_as_the_lists_say(installed, plugins, expected):
    skills = opened(installed, plugins)
    assert {one.entry.name for one in skills.loaded} & {"alpha", "beta"} == expected
    assert own(skills) == {f"{verb}_{name}" for name in expected for verb in ("tell", "greet")}


def test_skills_are_left_out_whoever_brings_them(installed):
    skills = opened(installed, True, skills=SkillSettings(deny=("tell_alpha", "calculator")))
    assert skills.registry.left_out == ["calculator", "tell_alpha"]
    assert own(skills) == {"greet_alpha", "tell_beta", "greet_beta"}
    skills = opened(installed, True, skills=SkillSettings(allow=("clock", "greet_beta")))
    assert {spec.name for _, spec in skills.listed()} == {"clock", "greet_beta"}


async def test_a_plugin_has_what_was_granted_to_it_alone(installed):
    chosen = PluginSettings(grants={"alpha": GRANT})
    assert (await called(opened(installed, chosen), "tell_alpha")).content == "5"
    refused = await called(opened(installed, chosen), "tell_beta")
    assert (refused.error, "'token'" in refused.content) == ("not_granted", True)
    refused = await called(opened(installed, PluginSettings()), "tell_alpha")
    assert refused.error == "not_granted"


async def test_what_a_run_may_spend_is_set_for_all_skills(installed):
    skills = opened(installed, PluginSettings(per_run={"calls": 1}))
    context = ToolContext(run_id="run", session_id="session", idempotency_key="key")
    call = ToolCall(tool_call_id="1", name="calculator", arguments={"expression": "6*7"})
    assert (await skills.runner.run(call, context)).content == "42"
    assert (await skills.runner.run(call, context)).error == "budget_spent"


def test_each_installed_plugin_has_the_least_level():
    settings = PluginSettings(level="sandbox", grants={"alpha": GRANT, "beta": {"level": "worker"}})
    grants = grants_of(settings, {"alpha", "beta", "gamma"})
    assert [grants.of(name).level for name in ("alpha", "beta", "gamma", "calculator")] == [
        Level.SANDBOX,
        Level.WORKER,
        Level.SANDBOX,
        Level.IN_PROCESS,
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"level": "moat"}, r"'plugins\.level': there is no level 'moat'; there are: in_process, worker"),
        ({"grants": {"a": {"level": 2}}}, r"'plugins\.grants\.a\.level': there is no level 2"),
        (
            {"grants": {"a": {"secret": ["x"]}}},
            r"'plugins\.grants\.a\.secret': there is no such setting; known are: .*secrets",
        ),
        ({"grants": {"a": {"read": ["data"]}}}, r"'plugins\.grants\.a\.read': 'data' is no absolute path"),
        ({"per_run": {"call": 1}}, r"'plugins\.per_run\.call': there is no such setting; known are: calls"),
    ],
)
def test_a_grant_that_cannot_be_is_named(settings, says):
    with pytest.raises(SettingsError, match=says):
        grants_of(PluginSettings(**settings), ())


async def test_what_was_set_and_does_not_hold_is_told():
    settings = PluginSettings(deny=("alhpa",), grants={"alpha": {**GRANT, "level": "worker"}})
    told = [*gaps(settings, grants_of(settings, {"alpha"}), {"alpha"}, await probe(), secret={}.get)]
    assert told[0] == "plugins.deny names 'alhpa', which no installed plugin is called; is 'alpha' meant?"
    assert told[1].startswith("nothing holds alpha to what it was granted")
    assert told[2] == "alpha was granted the secret 'token', which is not set"
    well = PluginSettings(deny=("alpha",))
    assert [*gaps(well, grants_of(well, {"alpha"}), {"alpha"}, await probe())] == []


async def test_the_doctor_names_gaps_and_what_is_left_out(installed):
    async def plugins():
        return {one.check: one async for one in examine()}["plugins"]

    (installed / "agent.toml").write_text('[plugins]\ndeny = ["alhpa"]\n')
    finding = await plugins()
    assert (finding.verdict, "alhpa" in finding.detail) == (Verdict.WARNING, True)
    (installed / "agent.toml").write_text('[plugins]\nallow = ["beta"]\n[skills]\ndeny = ["clock"]\n')
    finding = await plugins()
    assert (finding.verdict, "left out: clock" in finding.detail) == (Verdict.WELL, True)


def test_the_command_line_says_what_is_not_there_and_why(installed):
    (installed / "agent.toml").write_text('[plugins]\ndeny = ["alpha"]\n[skills]\ndeny = ["tell_beta"]\n')
    done = CliRunner().invoke(app, ["skills", "list", "--json"])
    listed = {json.loads(line)["name"] for line in done.stdout.splitlines()}
    assert listed >= {"calculator", "greet_beta"}
    assert not listed & {"tell_alpha", "greet_alpha", "tell_beta"}
    assert "plugin alpha is left out: denied" in done.stderr
    assert "skill tell_beta is left out" in done.stderr
