"""Plugins as they are installed: small distributions are written to a folder that is put on sys.path."""

import logging
import sys

import pytest

from agent_skills import PluginState, SkillRegistry, find_plugins, load_plugins
from agent_skills.errors import PluginRefusedError

GOOD = """
from agent_skills import hookimpl, skill

@skill
def {skill}(a: int) -> int:
    '''Do it.'''
    return a

@hookimpl
def register_skills(register):
    register({skill})
"""
HEAD = "from agent_skills import hookimpl, skill\n"
HOOK = "\n@hookimpl\ndef register_skills(register):\n    "


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = []

    def install(self, name, code, entry_points=None):
        module = f"fake_{name}_{id(self):x}"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(code)
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        text = f"[agent.skills]\n{name} = {module}\n" if entry_points is None else entry_points
        (info / "entry_points.txt").write_text(text)
        return module

    def find(self):
        return find_plugins([str(self.folder)])


@pytest.fixture
def site(tmp_path, monkeypatch):
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


def states(report):
    return {status.entry.name: status.state.value for status in report}


def test_plugins_are_found_without_an_import_and_loaded(site):
    module = site.install("beta", GOOD.format(skill="do_beta"))
    site.install("alpha", GOOD.format(skill="do_alpha"))
    site.install("stranger", "", entry_points="[console_scripts]\nx = y\n")
    entries = site.find()
    assert [(entry.name, entry.distribution) for entry in entries] == [
        ("alpha", "alpha 1.0"),
        ("beta", "beta 1.0"),
    ]
    assert module not in sys.modules
    registry = SkillRegistry()
    report = load_plugins(registry, entries)
    assert [status.skills for status in report] == [("do_alpha",), ("do_beta",)]
    assert {status.state for status in report} == {PluginState.LOADED}
    assert all(status.load_s > 0 for status in report)
    assert registry.plugins == {"alpha": ("do_alpha",), "beta": ("do_beta",)}


def test_installed_plugins_are_found_on_the_path_of_this_process(site):
    site.install("alpha", GOOD.format(skill="do_alpha"))
    assert "alpha" in {entry.name for entry in find_plugins()}


def test_a_distribution_later_on_the_path_is_shadowed(site, tmp_path):
    site.install("alpha", GOOD.format(skill="do_alpha"))
    old = tmp_path / "old"
    old.mkdir()
    Site(old).install("alpha", "raise RuntimeError")
    entries = find_plugins([str(site.folder), str(old)])
    assert [entry.name for entry in entries] == ["alpha"]
    assert states(load_plugins(SkillRegistry(), entries)) == {"alpha": "loaded"}


def test_allow_and_deny(site):
    for name in ("alpha", "beta", "gamma"):
        site.install(name, GOOD.format(skill=f"do_{name}"))
    module = site.modules[2]
    report = load_plugins(SkillRegistry(), site.find(), allow={"alpha", "beta"}, deny={"beta"})
    assert states(report) == {"alpha": "loaded", "beta": "skipped", "gamma": "skipped"}
    assert [status.reason for status in report] == ["", "denied", "not on the allow list"]
    assert module not in sys.modules


BROKEN = {
    "import_error": ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    "system_exit": ("raise SystemExit('bye')", "SystemExit: bye"),
    "syntax": ("def broken(:", "SyntaxError"),
    "raises": (f"{HEAD}{HOOK}raise ValueError('in the hook')", "ValueError: in the hook"),
    "exits": (f"{HEAD}{HOOK}raise SystemExit(1)", "SystemExit: 1"),
    "no_hook": ("x = 1", "no hook `register_skills`"),
    "wrong_hook": (
        f"{HEAD}\n@hookimpl\ndef register_skillz(register): ...",
        "unknown hook 'register_skillz'",
    ),
    "no_type": (f"{HEAD}\n@skill\ndef f(a):\n    '''F.'''\n", "parameter 'a' has no type annotation"),
    "bad_schema": (f"{HEAD}\n@skill\ndef f(a: type | range):\n    '''F.'''\n", "no JSON schema"),
    "duplicate": (GOOD.format(skill="taken"), "from plugin 'good'"),
    "partial": (
        GOOD.format(skill="half").replace("register(half)", "register(half); raise OSError('no disk')"),
        "OSError: no disk",
    ),
    "not_a_skill": (f"{HEAD}{HOOK}register(print)", "decorate the function with @skill"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_named_and_left_out(site, name, caplog):
    code, reason = BROKEN[name]
    site.install("good", GOOD.format(skill="taken"))
    site.install(f"x{name}", code)
    site.install("zulu", GOOD.format(skill="do_zulu"))
    registry = SkillRegistry()
    with caplog.at_level(logging.WARNING):
        report = load_plugins(registry, site.find())
    assert states(report) == {"good": "loaded", f"x{name}": "quarantined", "zulu": "loaded"}
    assert reason in report[1].reason
    assert reason in caplog.text
    assert [one.spec.name for one in registry.skills()] == ["taken", "do_zulu"]


def test_metadata_that_cannot_be_read_are_reported(site):
    site.install("garbled", "", entry_points="[agent.skills]\nno equals sign\n")
    site.install("other", "", entry_points="[console_scripts]\nno equals sign\n")
    report = load_plugins(SkillRegistry(), site.find())
    assert states(report) == {"garbled": "quarantined"}
    assert "entry_points.txt" in report[0].reason


def test_a_distribution_without_metadata_still_brings_its_plugin(site):
    site.install("alpha", GOOD.format(skill="do_alpha"))
    (site.folder / "alpha-1.0.dist-info" / "METADATA").unlink()
    entries = site.find()
    assert [(entry.name, entry.distribution) for entry in entries] == [("alpha", "unknown unknown")]
    assert states(load_plugins(SkillRegistry(), entries)) == {"alpha": "loaded"}


def test_a_missing_attribute_and_a_class_are_reported(site):
    module = site.install("alpha", "class Plugin: ...", entry_points="")
    target = f"[agent.skills]\nbeta = {module}:Nothing\ngamma = {module}:Plugin\n"
    site.install("beta", "", entry_points=target)
    report = load_plugins(SkillRegistry(), site.find())
    assert states(report) == {"beta": "quarantined", "gamma": "quarantined"}
    assert "AttributeError" in report[0].reason
    assert "it is a class" in report[1].reason


def test_strict_raises_for_the_first_broken_plugin(site):
    site.install("broken", "raise RuntimeError('no')")
    with pytest.raises(PluginRefusedError, match=r"'broken' was refused.*RuntimeError: no"):
        load_plugins(SkillRegistry(), site.find(), strict=True)


def test_an_interrupt_during_an_import_here_passes_through(site):
    site.install("broken", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins(SkillRegistry(), site.find(), trust={"broken"})
    assert states(load_plugins(SkillRegistry(), site.find())) == {"broken": "quarantined"}
