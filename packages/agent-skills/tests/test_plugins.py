"""Plugins in workers: known from manifests, remembered as long as nothing changed, reloaded, and never imported here."""

import logging
import os
import sys
from pathlib import Path

import msgspec
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import (
    Level,
    PluginIndex,
    PluginState,
    SkillRegistry,
    SkillRunner,
    find_plugins,
    load_plugins,
    probe,
)
from agent_skills.errors import PluginRefusedError
from agent_skills.isolation import describing
from agent_skills.isolation.levels import Levels
from agent_skills.manifest import PluginManifest
from agent_skills.plugins import reload_plugin

CODE = """
from agent_skills import hookimpl, skill

@skill
def {name}(a: int) -> str:
    '''Do it.'''
    return f"{answer} {{a}}"

@hookimpl
def register_skills(register):
    register({name})
"""
CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


class Site:
    def __init__(self, folder):
        self.folder = folder

    def install(self, name, code):
        (self.folder / f"plugin_{name}.py").write_text(code)
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n\nName: other\n")
        (info / "entry_points.txt").write_text(f"# ours\n[agent.skills]\n{name} = plugin_{name} [extra]\n")
        return self.folder / f"plugin_{name}.py"


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Site(folder)


@pytest.fixture
def index_file(tmp_path):
    return tmp_path / "cache" / "index.json"


def load(site, index_file, **options):
    registry = SkillRegistry()
    index = PluginIndex(index_file)
    report = load_plugins(registry, find_plugins([str(site.folder)], index=index), index=index, **options)
    return registry, report


def test_a_plugin_is_loaded_once_in_a_worker_and_then_known(site, index_file, monkeypatch):
    site.install("alpha", CODE.format(name="do_alpha", answer="did"))
    registry, (status,) = load(site, index_file)
    assert (status.state, status.skills, status.trusted) == (PluginState.LOADED, ("do_alpha",), False)
    assert status.load_s > 0
    assert "plugin_alpha" not in sys.modules
    first = registry.get("do_alpha").spec

    monkeypatch.setattr("agent_skills.plugins.describe", None)  # nobody asks again
    registry, (status,) = load(site, index_file)
    assert (status.skills, status.load_s) == (("do_alpha",), 0.0)
    assert registry.get("do_alpha").spec == first


def test_what_changed_is_looked_at_again(site, index_file):
    file = site.install("alpha", CODE.format(name="do_alpha", answer="did"))
    load(site, index_file)
    file.write_text(CODE.format(name="do_other", answer="did"))
    os.utime(file, ns=(1, 1))
    _, (status,) = load(site, index_file)
    assert status.skills == ("do_other",)
    site.install("beta", CODE.format(name="do_beta", answer="did"))
    os.utime(site.folder, ns=(1, 1))
    _, report = load(site, index_file)
    assert [one.skills for one in report] == [("do_other",), ("do_beta",)]


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": "another"}', b"\xff"])
def test_an_index_that_cannot_be_read_is_empty(site, index_file, content):
    site.install("alpha", CODE.format(name="do_alpha", answer="did"))
    index_file.parent.mkdir()
    index_file.write_bytes(content)
    assert load(site, index_file)[1][0].skills == ("do_alpha",)
    assert msgspec.json.decode(index_file.read_bytes())["plugins"]


def test_an_index_that_cannot_be_written_is_no_failure(site, tmp_path):
    site.install("alpha", CODE.format(name="do_alpha", answer="did"))
    (tmp_path / "file").write_text("")
    assert load(site, tmp_path / "file" / "index.json")[1][0].skills == ("do_alpha",)


def test_a_plugin_that_takes_for_ever_is_left_out(site, monkeypatch, caplog):
    site.install("slow", "import time\ntime.sleep(60)")
    monkeypatch.setattr(describing.describe, "__defaults__", (0.5,))
    with caplog.at_level(logging.WARNING):
        report = load_plugins(SkillRegistry(), find_plugins([str(site.folder)]))
    assert "took more than 0.5 s" in report[0].reason


@pytest.mark.parametrize("code", ["import os\nos._exit(0)", "import os\nos.abort()"])
def test_a_plugin_whose_import_ends_its_process_is_left_out(site, code):
    site.install("fatal", code)
    report = load_plugins(SkillRegistry(), find_plugins([str(site.folder)]))
    assert report[0].reason == "its import ended the process"


def test_two_plugins_with_one_skill_are_told_apart(site):
    site.install("alpha", CODE.format(name="same", answer="one"))
    site.install("beta", CODE.format(name="same", answer="two"))
    report = load_plugins(SkillRegistry(), find_plugins([str(site.folder)]))
    assert [one.state for one in report] == [PluginState.LOADED, PluginState.QUARANTINED]
    assert "from plugin 'alpha'" in report[1].reason


async def call(runner, name):
    made = ToolCall(tool_call_id="c", name=name, arguments={"a": 1})
    return await runner.run(made, CONTEXT)


async def test_a_plugin_is_reloaded_and_one_that_broke_stays_as_it_was(site, index_file):
    file = site.install("alpha", CODE.format(name="act", answer="old"))
    registry, (status,) = load(site, index_file)
    runner = SkillRunner(registry)
    try:
        assert (await call(runner, "act")).content == "old 1"
        file.write_text("raise RuntimeError('half written')")
        with pytest.raises(PluginRefusedError, match="half written"):
            await reload_plugin(runner, registry, status.entry)
        assert (await call(runner, "act")).content == "old 1"
        file.write_text(CODE.format(name="act", answer="new"))
        assert await reload_plugin(runner, registry, status.entry) == ("act",)
        assert (await call(runner, "act")).content == "new 1"
    finally:
        await runner.aclose()


def test_a_manifest_has_a_hash_that_any_change_changes(site, index_file):
    site.install("alpha", CODE.format(name="act", answer="old"))
    _, (status,) = load(site, index_file)
    manifest = PluginIndex(index_file).manifest(status.entry)
    again = msgspec.json.decode(msgspec.json.encode(manifest), type=PluginManifest)
    assert again.digest == manifest.digest
    renamed = msgspec.structs.replace(
        manifest,
        skills=(
            msgspec.structs.replace(
                manifest.skills[0],
                spec=msgspec.structs.replace(manifest.skills[0].spec, description="Other."),
            ),
        ),
    )
    assert renamed.digest != manifest.digest


# ── a skill whose wall is missing does not load ──────────────────────────────────────────────────────────────────


@pytest.fixture
def sandboxed(monkeypatch, tmp_path):
    plugins = Path(__file__).parent / "plugins"
    monkeypatch.syspath_prepend(str(plugins))
    info = tmp_path / "odd-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: odd\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[agent.skills]\nodd = odd_sandboxed\n")
    yield find_plugins([str(tmp_path)])
    for name in ("odd_jobs", "odd_sandboxed"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("trust", [(), ("odd",)])
def test_without_a_sandbox_it_is_refused(sandboxed, trust):
    for registry in (SkillRegistry(), SkillRegistry(missing=Levels(reports=()).missing)):
        report = load_plugins(registry, sandboxed, trust=trust)
        assert report[0].state is PluginState.QUARANTINED
        assert "needs the level SANDBOX, which is not here" in report[0].reason
        assert not registry.skills()


@pytest.mark.parametrize("trust", [(), ("odd",)])
async def test_with_one_it_runs_in_there(sandboxed, trust):
    levels = await probe()
    if not levels.has(Level.SANDBOX):
        pytest.skip(levels.missing(Level.SANDBOX))
    registry = SkillRegistry(missing=levels.missing)
    load_plugins(registry, sandboxed, strict=True, trust=trust)
    runner = SkillRunner(registry, levels=levels)
    try:
        made = ToolCall(tool_call_id="c", name="look_around", arguments={})
        result = await runner.run(made, CONTEXT)
        seen = msgspec.json.decode(result.content)
        assert (seen["user"], seen["home"]) == (65534, False)
        assert seen["pid"] != os.getpid()
    finally:
        await runner.aclose()
