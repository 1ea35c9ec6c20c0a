"""Tools as plugins: one typed function, one entry point.

What authors need is imported at once, all else when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from agent_skills.skill import (
    Skill,
    skill,
)  # at once: the module has the name of the function, and would stand for it

if TYPE_CHECKING:
    from agent_skills.discovery import find_plugins
    from agent_skills.errors import SkillError, SkillFailedError
    from agent_skills.hookspecs import Register, hookimpl
    from agent_skills.isolation.levels import LevelReport, Levels, probe
    from agent_skills.needs import Level, Needs
    from agent_skills.offers import OfferAll, Ranked, Router
    from agent_skills.plugin_index import PluginEntry, PluginIndex
    from agent_skills.plugins import PluginState, PluginStatus, load_plugins
    from agent_skills.policy import Budget, Grant, Grants
    from agent_skills.progress import Progress
    from agent_skills.registry import SkillRegistry
    from agent_skills.runner import SkillRunner
    from agent_skills.secrets import Secrets

    __version__: str
else:
    _HOMES = {
        "discovery": ("find_plugins",),
        "errors": ("SkillError", "SkillFailedError"),
        "hookspecs": ("Register", "hookimpl"),
        "isolation.levels": ("LevelReport", "Levels", "probe"),
        "needs": ("Level", "Needs"),
        "offers": ("OfferAll", "Ranked", "Router"),
        "plugin_index": ("PluginEntry", "PluginIndex"),
        "plugins": ("PluginState", "PluginStatus", "load_plugins"),
        "policy": ("Budget", "Grant", "Grants"),
        "progress": ("Progress",),
        "registry": ("SkillRegistry",),
        "runner": ("SkillRunner",),
        "secrets": ("Secrets",),
    }
    _HOME = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = import_module("importlib.metadata").version("agent-skills")
        elif name in _HOME:
            value = getattr(import_module(_HOME[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "Budget",
    "Grant",
    "Grants",
    "Level",
    "LevelReport",
    "Levels",
    "Needs",
    "OfferAll",
    "PluginEntry",
    "PluginIndex",
    "PluginState",
    "PluginStatus",
    "Progress",
    "Ranked",
    "Register",
    "Router",
    "Secrets",
    "Skill",
    "SkillError",
    "SkillFailedError",
    "SkillRegistry",
    "SkillRunner",
    "__version__",
    "find_plugins",
    "hookimpl",
    "load_plugins",
    "probe",
    "skill",
]
