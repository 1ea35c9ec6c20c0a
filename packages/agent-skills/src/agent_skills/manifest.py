"""What a plugin brings, as data: enough to offer its skills and to decide on them without importing it.

Made by loading the plugin once, in a worker; kept by `plugin_index` until a file of the plugin changes.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from agent_core.tools import ToolSpec
from agent_skills.needs import NOTHING, Needs
from agent_skills.reading import PlainReader
from agent_skills.skill import AnySkill, Declared, Home, Skill

VERSION = 1


class SkillManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One skill."""

    spec: ToolSpec
    needs: Needs = NOTHING


class PluginManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One plugin."""

    skills: tuple[SkillManifest, ...]
    version: int = VERSION
    """Of this format."""

    @property
    def digest(self) -> str:
        """A hash of all that it says, in hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def described(skills: Sequence[AnySkill]) -> PluginManifest:
    """The manifest of these skills."""
    return PluginManifest(skills=tuple(SkillManifest(spec=one.spec, needs=one.needs) for one in skills))


def mounted(manifest: PluginManifest, home: Home) -> tuple[AnySkill, ...]:
    """The skills of a plugin that was not imported here: they run in a worker, which checks their arguments too."""
    return tuple(
        Skill(_elsewhere, one.spec, Declared(), PlainReader(), needs=one.needs, home=home)
        for one in manifest.skills
    )


def _elsewhere(**_: object) -> object:
    raise RuntimeError("this skill runs in a worker alone")
