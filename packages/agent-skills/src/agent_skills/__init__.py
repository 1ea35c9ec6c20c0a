"""Tools as plugins: one typed function, one entry point."""

from importlib.metadata import version

from agent_skills.discovery import PluginEntry, PluginState, PluginStatus, find_plugins, load_plugins
from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.offers import OfferAll, Ranked, Router
from agent_skills.registry import SkillRegistry
from agent_skills.runner import SkillRunner
from agent_skills.skill import Skill, skill

__version__ = version("agent-skills")

__all__ = [
    "OfferAll",
    "PluginEntry",
    "PluginState",
    "PluginStatus",
    "Ranked",
    "Register",
    "Router",
    "Skill",
    "SkillError",
    "SkillFailedError",
    "SkillRegistry",
    "SkillRunner",
    "__version__",
    "find_plugins",
    "hookimpl",
    "load_plugins",
    "skill",
]
